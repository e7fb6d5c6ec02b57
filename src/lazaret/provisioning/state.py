"""What the provisioning graph carries from node to node: names only, never a secret. The tables are the truth."""

from typing import Any, TypedDict


class ProvisioningState(TypedDict, total=False):
    """The graph's state, with the plan's field names."""

    operation_id: int
    server_to_provision: str
    """Handle of the server."""
    is_incident_recovery: bool
    """Whether the services that ran there are to be brought back afterwards."""
    provisioning_result: dict[str, Any]
    """Empty until the end; then what was reached."""
