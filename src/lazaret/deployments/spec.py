"""What a service is: an image or a Compose file, with ports, environment, secrets, files and a health check. Pure."""

import re
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from lazaret.deployments.compose import IMAGE, PART, PORT, canonical, mounted_files
from lazaret.deployments.compose import check_compose as check_compose  # noqa: PLC0414 - the lab reads with it what was written
from lazaret.deployments.plain_yaml import NotPlain, read_yaml, write_yaml
from lazaret.kernel.errors import Conflict

NAME = r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
"""Of services and projects: what Docker Compose takes as well."""
LARGEST_COMPOSE = 64 * 1024
LARGEST_FILE = 128 * 1024
MOST_FILES = 50
_KEPT = {"kept": True}
"""Context of a spec that was admitted when it was deployed: it is read, whatever is admitted today."""
_READ_BY_COMPOSE = re.compile(r"\.env|(docker-)?compose(\.override)?\.ya?ml")
"""Files that Docker Compose would read by itself, as settings."""
_SETS_COMPOSE = re.compile(
    r"(COMPOSE|LD)_.*|DOCKER_(API_VERSION|BUILDKIT|CERT_PATH|CLI_.*|CONFIG|CONTEXT|DEFAULT_PLATFORM|HOST|TLS.*)"
)
"""Variables that Docker Compose would take as settings of its own: another file, another host."""

ServiceName = Annotated[str, StringConstraints(pattern=NAME)]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
Port = Annotated[int, Field(ge=1, le=65535)]


class NoLongerAdmitted(Conflict):
    """The version was deployed when more was admitted; it is not brought to a server again."""

    code = "no_longer_admitted"


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

    In `compose`, `${LAZARET_PORT}` is the port of the host that was allotted: publish it. Nothing else of the host can
    be asked for: a bind mount is of `files` and read-only, every other volume is a named one.
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

    @model_validator(mode="after")
    def _mounts_its_own_files(self, info: ValidationInfo) -> "ServiceSpec":
        if not self.compose or _is_kept(info):
            return self
        for service, path in mounted_files(check_compose(self.compose)):
            if not any(file == path or file.startswith(f"{path}/") for file in self.files):
                raise ValueError(f"service {service}: volumes: ./{path} is not in files: give it there")
        return self

    @field_validator("image")
    @classmethod
    def _is_reference(cls, value: str) -> str:
        if value and not re.fullmatch(IMAGE, value):
            raise ValueError("is no name of an image")
        return value

    @field_validator("compose")
    @classmethod
    def _is_compose(cls, value: str, info: ValidationInfo) -> str:
        if value and not _is_kept(info):
            check_compose(value)
        return value

    @field_validator("environment", "secrets")
    @classmethod
    def _one_line(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        for name, content in value.items():
            text = content.get_secret_value() if isinstance(content, SecretStr) else content
            if "\n" in text or "\x00" in text or len(text) > LARGEST_FILE:
                raise ValueError(f"the value of {name} must be one line")
            if _is_kept(info):
                continue
            if _SETS_COMPOSE.fullmatch(name):
                raise ValueError(f"{name} would steer Docker Compose itself: set it in the image")
            if re.search(r"\\('|$)|\r", text):
                raise ValueError(f"the value of {name} has a backslash before a quote or at its end, or a return")
        return value

    @field_validator("files")
    @classmethod
    def _beside_the_compose_file(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        if len(value) > MOST_FILES:
            raise ValueError(f"more than {MOST_FILES} files")
        for path, content in value.items():
            parts = path.split("/")
            if not all(re.fullmatch(PART, part) for part in parts) or path in {"compose.yaml", ".env"}:
                raise ValueError(f"{path[:80]!r} is no relative path of plain names")
            if _READ_BY_COMPOSE.fullmatch(path) and not _is_kept(info):
                raise ValueError(f"{path!r} would be read by Docker Compose itself: name it otherwise")
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


def _is_kept(info: ValidationInfo) -> bool:
    return info.context is _KEPT


def spec_from(stored: dict[str, Any], secrets: dict[str, str]) -> ServiceSpec:
    """A spec as it was kept, with the values of its secrets. Before it is deployed: `check_still_admitted`."""
    plain = {name: value for name, value in stored.items() if name != "secret_names"}
    sealed = {name: SecretStr(value) for name, value in secrets.items()}
    return ServiceSpec.model_validate({**plain, "secrets": sealed}, context=_KEPT)


def check_still_admitted(name: str, version: int, spec: ServiceSpec) -> None:
    """Raises `NoLongerAdmitted` for a spec that was kept and would be refused today."""
    try:
        ServiceSpec.model_validate(spec.model_dump())
    except ValidationError as error:
        raise NoLongerAdmitted(
            f"Version {version} of {name} is no longer admitted: {problem_in(error)}.",
            hint="Deploy a new version without that; what runs is left alone.",
        ) from None


def problem_in(error: ValidationError) -> str:
    """The first thing that is wrong with a spec, with its place; shows no value."""
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    words = str(first.get("ctx", {}).get("error", first["msg"]))
    return f"{place}: {words}" if place else words


def compose_of(name: str, spec: ServiceSpec) -> str:
    """The Compose file of a service; for an image it is written here."""
    if spec.compose:
        return canonical(spec.compose)
    service: dict[str, Any] = {
        "image": spec.image,
        "restart": "unless-stopped",
        "init": True,
        "pull_policy": "missing",
        "ports": [f"{'' if spec.is_public else '127.0.0.1:'}{PORT}:{spec.container_port}"],
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
    return write_yaml(content)


def containers_of(name: str, spec: ServiceSpec) -> tuple[str, ...]:
    """The names of the containers that Docker Compose makes of it."""
    if not spec.compose:
        return (f"{name}-{name}-1",)
    services = _kept_services(spec.compose)
    return tuple(
        str(service.get("container_name") or f"{name}-{service_name}-1") for service_name, service in services.items()
    )


def _kept_services(text: str) -> dict[str, Any]:
    """Of a file that was admitted at its time, when aliases were."""
    try:
        content = read_yaml(text)
    except NotPlain:
        content = yaml.safe_load(text)
    services: dict[str, Any] = content["services"]
    return services
