"""What a service is: an image or a Compose file, with ports, environment, secrets, files and a health check. Pure."""

import re
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator, model_validator

NAME = r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
"""Of services and projects: what Docker Compose takes as well."""
LARGEST_COMPOSE = 64 * 1024
LARGEST_FILE = 128 * 1024
MOST_FILES = 50

ServiceName = Annotated[str, StringConstraints(pattern=NAME)]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
Port = Annotated[int, Field(ge=1, le=65535)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HttpCheck(_Strict):
    """GET `path` on the service's port answers with a status below 400."""

    kind: Literal["http"] = "http"
    path: str = Field(default="/", pattern=r"^/[!-~]{0,500}$")
    timeout_s: float = Field(default=60, gt=0, le=600)


class TcpCheck(_Strict):
    """The service's port accepts a connection."""

    kind: Literal["tcp"] = "tcp"
    timeout_s: float = Field(default=60, gt=0, le=600)


class DockerCheck(_Strict):
    """Every container runs, and those with a health check of their own say `healthy`."""

    kind: Literal["docker"] = "docker"
    timeout_s: float = Field(default=60, gt=0, le=600)


HealthCheck = Annotated[HttpCheck | TcpCheck | DockerCheck, Field(discriminator="kind")]


class ServiceSpec(_Strict):
    """One version of a service. Either `image` or `compose` is given, not both.

    In `compose`, `${LAZARET_PORT}` is the port of the host that was allotted: publish it.
    """

    image: str = Field(default="", max_length=300)
    command: tuple[str, ...] = ()
    container_port: Port | None = None
    """The port inside the container of `image`."""
    compose: str = Field(default="", max_length=LARGEST_COMPOSE)
    environment: dict[VariableName, str] = Field(default_factory=dict)
    secrets: dict[VariableName, SecretStr] = Field(default_factory=dict)
    """Environment variables whose values are kept encrypted and shown nowhere."""
    files: dict[str, str] = Field(default_factory=dict)
    """Relative path and content, written beside the Compose file."""
    volumes: tuple[str, ...] = ()
    """For `image`: `name:/path` of named volumes."""
    health: HealthCheck = Field(default_factory=DockerCheck)
    depends_on: tuple[ServiceName, ...] = ()
    """Services on the same server that must run first."""
    is_public: bool = True
    """Whether the port answers from outside; else only on the host itself."""
    memory_mb: int = Field(default=128, ge=1, le=1_048_576)
    """What it needs: admission asks for so much free memory."""
    disk_mb: int = Field(default=512, ge=1, le=104_857_600)
    """What it needs on the disk."""

    @model_validator(mode="after")
    def _one_source(self) -> "ServiceSpec":
        if bool(self.image) == bool(self.compose):
            raise ValueError("give either image or compose")
        if self.image and self.container_port is None:
            raise ValueError("image needs container_port")
        if self.compose and (self.command or self.container_port or self.volumes):
            raise ValueError("command, container_port and volumes belong to image; write them into compose")
        if set(self.environment) & set(self.secrets):
            raise ValueError("a name stands in environment and in secrets")
        if "LAZARET_PORT" in {*self.environment, *self.secrets}:
            raise ValueError("LAZARET_PORT is set by Lazaret")
        return self

    @field_validator("image")
    @classmethod
    def _is_reference(cls, value: str) -> str:
        if value and not re.fullmatch(r"[a-z0-9][A-Za-z0-9._:/@-]*", value):
            raise ValueError("is no name of an image")
        return value

    @field_validator("compose")
    @classmethod
    def _is_compose(cls, value: str) -> str:
        if value:
            check_compose(value)
        return value

    @field_validator("environment", "secrets")
    @classmethod
    def _one_line(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name, content in value.items():
            text = content.get_secret_value() if isinstance(content, SecretStr) else content
            if "\n" in text or "\x00" in text or len(text) > LARGEST_FILE:
                raise ValueError(f"the value of {name} must be one line")
        return value

    @field_validator("files")
    @classmethod
    def _beside_the_compose_file(cls, value: dict[str, str]) -> dict[str, str]:
        if len(value) > MOST_FILES:
            raise ValueError(f"more than {MOST_FILES} files")
        for path, content in value.items():
            parts = path.split("/")
            plain = all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", part) for part in parts)
            if not plain or path in {"compose.yaml", ".env"}:
                raise ValueError(f"{path[:80]!r} is no relative path of plain names")
            if len(content) > LARGEST_FILE or "\x00" in content:
                raise ValueError(f"{path[:80]!r} is too large or binary")
        return value

    @field_validator("volumes")
    @classmethod
    def _named_volumes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for volume in value:
            if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,60}:/[A-Za-z0-9._/-]{1,200}", volume):
                raise ValueError(f"{volume[:80]!r} is not name:/path")
        return value

    def without_secrets(self) -> dict[str, Any]:
        """Plain JSON to be kept; of secrets only the names."""
        plain = self.model_dump(mode="json", exclude={"secrets"})
        return {**plain, "secret_names": sorted(self.secrets)}


def spec_from(stored: dict[str, Any], secrets: dict[str, str]) -> ServiceSpec:
    """A spec as it was kept, with the values of its secrets."""
    plain = {name: value for name, value in stored.items() if name != "secret_names"}
    return ServiceSpec(**plain, secrets={name: SecretStr(value) for name, value in secrets.items()})


def check_compose(text: str) -> dict[str, Any]:
    """The Compose file as a mapping, or `ValueError` with what is wrong. It may not reach for the host itself."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ValueError("is no YAML") from None
    services = content.get("services") if isinstance(content, dict) else None
    if not isinstance(services, dict) or not services:
        raise ValueError("has no services")
    for name, service in services.items():
        if not isinstance(service, dict):
            raise ValueError(f"service {name!s:.40} is no mapping")
        if service.get("privileged") or service.get("network_mode") == "host" or service.get("pid") == "host":
            raise ValueError(f"service {name!s:.40} asks for the host itself (privileged, host network or pid)")
        if "build" in service:
            raise ValueError(f"service {name!s:.40} is to be built; only images are deployed")
        for port in service.get("ports") or ():
            if "LAZARET_PORT" not in str(port):
                raise ValueError(
                    f"service {name!s:.40} publishes {port!s:.40}; only ${{LAZARET_PORT}} can be published"
                )
    return dict(content)


def compose_of(name: str, spec: ServiceSpec) -> str:
    """The Compose file of a service; for an image it is written here."""
    if spec.compose:
        return spec.compose
    service: dict[str, Any] = {
        "image": spec.image,
        "restart": "unless-stopped",
        "init": True,
        "pull_policy": "missing",
        "ports": [f"{'' if spec.is_public else '127.0.0.1:'}${{LAZARET_PORT}}:{spec.container_port}"],
    }
    if spec.command:
        service["command"] = list(spec.command)
    names = [*sorted(spec.environment), *sorted(spec.secrets)]
    if names:
        service["environment"] = {variable: f"${{{variable}}}" for variable in names}
    content: dict[str, Any] = {"services": {name: service}}
    if spec.volumes:
        service["volumes"] = list(spec.volumes)
        content["volumes"] = {volume.partition(":")[0]: {} for volume in spec.volumes}
    return yaml.safe_dump(content, sort_keys=False)


def containers_of(name: str, spec: ServiceSpec) -> tuple[str, ...]:
    """The names of the containers that Docker Compose makes of it."""
    services = check_compose(compose_of(name, spec))["services"]
    return tuple(
        str(service.get("container_name") or f"{name}-{service_name}-1") for service_name, service in services.items()
    )
