"""What the orchestrator's graph carries from node to node: names, never a secret. The tables are the truth."""

from typing import Any, TypedDict


class OrchestratorState(TypedDict, total=False):
    """The plan's field names, and what is to be deployed."""

    project_id: str
    service_name: str
    """Empty: nothing is to be deployed, only a server to be brought into order."""
    spec: dict[str, Any]
    """A `ServiceSpec` without secrets."""
    server_handle: str
    """The server that is wanted (empty: any), later the one that was allotted."""
    port: int | None
    reason: str
    """Why, for the person who is asked."""
    server_to_provision: str
    """Handle of the server that must be set up first; empty: none."""
    is_incident_recovery: bool
    """Whether the server was in order and is to be brought back, its services included."""
    provisioning_result: dict[str, Any]
    deployment_result: dict[str, Any]
    refusal: dict[str, Any]
    """Why it ended without success: an error as data."""
