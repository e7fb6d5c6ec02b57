"""The lab's switches: every way in which the provider is known, or feared, to misbehave.

Owns the typed model and the board that counts. Each switch says for which call and server it holds, and how
often or how long. Does nothing by itself: API and cloud ask the board.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lazaret.kernel.clock import Clock
from lazaret.kernel.errors import InvalidInput
from lazaret.lab.calls import Call


class Switch(BaseModel):
    """What all switches share: where one holds and for how long. Left out means: everywhere, until cleared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    call: Call | None = None
    """Only for this kind of call."""
    server_id: int | None = Field(default=None, ge=1)
    """Only for this server."""
    times: int | None = Field(default=None, ge=1)
    """Only for the next N calls that it meets."""
    for_s: float | None = Field(default=None, gt=0)
    """Only for this many seconds from now on."""


class Throttle(Switch):
    """Refuse with 401 and `wait_x_between_action`; running tasks are not touched."""

    name: Literal["throttle"] = "throttle"
    wait_s: int | None = Field(default=None, ge=1)
    """The wait that is announced; left out: what is left of `for_s`, else 5 to 60 at random."""


class ThrottleWindow(Switch):
    """A real limit for the account: at most `calls` calls in any `window_s` seconds."""

    name: Literal["throttle_window"] = "throttle_window"
    calls: int = Field(ge=1)
    window_s: float = Field(gt=0)


class WrongCredentials(Switch):
    """Refuse every login as wrong, as if the password had been changed."""

    name: Literal["wrong_credentials"] = "wrong_credentials"


class AddressNotAllowed(Switch):
    """Refuse a right login because of where it comes from."""

    name: Literal["address_not_allowed"] = "address_not_allowed"


class GatewayError(Switch):
    """Answer 5xx with a page of HTML."""

    name: Literal["gateway_error"] = "gateway_error"
    status: int = Field(default=502, ge=500, le=599)
    executed: bool = False
    """Whether the call was executed all the same."""


class Slow(Switch):
    """Execute at once, answer `delay_s` seconds later."""

    name: Literal["slow"] = "slow"
    delay_s: float = Field(gt=0, le=3600)


class Cut(Switch):
    """Cut the connection: before the answer, or after some bytes of its body."""

    name: Literal["cut"] = "cut"
    after_bytes: int | None = Field(default=None, ge=0)
    """Left out: not even a status line is sent."""
    executed: bool = False
    """Whether the call was executed. An answer can only be cut short when it was, so `after_bytes` implies it."""


class ErrorWith200(Switch):
    """Refuse with status 200 and an `error` list; nothing is executed."""

    name: Literal["error_with_200"] = "error_with_200"
    text: str = "Action could not be performed"
    bare: bool = False
    """The error is a bare string instead of a list, as in the vendor's first version."""


class Nulls(Switch):
    """Say null where an empty string is documented."""

    name: Literal["nulls"] = "nulls"


class IdsAsStrings(Switch):
    """Send numeric ids as strings."""

    name: Literal["ids_as_strings"] = "ids_as_strings"


class SingleObject(Switch):
    """Send one object where a list with one element is expected."""

    name: Literal["single_object"] = "single_object"


class ShortList(Switch):
    """Leave servers out of the list: only the first `keep` are told."""

    name: Literal["short_list"] = "short_list"
    keep: int = Field(default=0, ge=0)


class DateForm(Switch):
    """Write dates as `YYYY-MM-DD HH:MM:SS` instead of ISO 8601 with offset."""

    name: Literal["date_form"] = "date_form"


class Busy(Switch):
    """What a second action meets while a task runs. Without this switch: refused with status 409."""

    name: Literal["busy"] = "busy"
    mode: Literal["refuse", "queue"] = "refuse"
    status: int = Field(default=409, ge=200, le=499)


class PasswordText(Switch):
    """How a result carries the password. Without this switch: hidden in an HTML link, as seen live."""

    name: Literal["password_text"] = "password_text"
    form: Literal["plain", "html", "multiline", "missing"]


class AwkwardPassword(Switch):
    """New passwords have quotes, `<`, `&` and spaces in them."""

    name: Literal["awkward_password"] = "awkward_password"


class TaskFails(Switch):
    """The task completes without effect; only its text says so."""

    name: Literal["task_fails"] = "task_fails"
    text: str = "Error: operation failed, please contact support"


class TaskHangs(Switch):
    """The task is taken and never completes; `end-task` in the control API releases it."""

    name: Literal["task_hangs"] = "task_hangs"


class SshKeyHonoured(Switch):
    """The `ssh_key` of a reinstall is installed. Without this switch it is silently ignored, as seen live."""

    name: Literal["ssh_key_honoured"] = "ssh_key_honoured"


class PlaybookFails(Switch):
    """On simulated hosts, the task at this position of a playbook fails."""

    name: Literal["playbook_fails"] = "playbook_fails"
    task: int = Field(default=3, ge=1)
    message: str = "simulated failure"


SWITCH_TYPES: dict[str, type[Switch]] = {kind.model_fields["name"].default: kind for kind in Switch.__subclasses__()}

"""All switches by name."""

S = TypeVar("S", bound=Switch)


def parse_switch(data: object) -> Switch:
    """The switch that a JSON object describes. Raises `InvalidInput` naming the wrong field."""
    name = data.get("name") if isinstance(data, dict) else None
    kind = SWITCH_TYPES.get(name) if isinstance(name, str) else None
    if kind is None:
        raise InvalidInput(f"{name!r} is no switch.", hint=f"Switches are {', '.join(sorted(SWITCH_TYPES))}.")
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        fields = ", ".join(field for field in kind.model_fields if field != "name")
        raise InvalidInput(f"{name}: {where}: {first['msg']}.", hint=f"It takes {fields}.") from None


@dataclass(slots=True)
class _Active:
    switch: Switch
    left: int | None
    ends_at: float | None


class Switchboard:
    """The switches that are on now. A later switch of the same name, call and server replaces the earlier one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._active: list[_Active] = []

    def set(self, switch: Switch) -> None:
        """Turn a switch on."""
        key = _key(switch)
        self._active = [active for active in self._active if _key(active.switch) != key]
        ends_at = self._clock.monotonic() + switch.for_s if switch.for_s is not None else None
        self._active.append(_Active(switch, switch.times, ends_at))

    def clear(self, name: str | None = None) -> None:
        """Turn off all switches, or those of one name."""
        self._active = [active for active in self._active if name is not None and _name(active.switch) != name]

    def current(self) -> list[dict[str, Any]]:
        """The switches that are on, as plain JSON; `left` is how many calls each still meets, null for any number."""
        self._drop_expired()
        return [{**a.switch.model_dump(mode="json", exclude_none=True), "left": a.left} for a in self._active]

    def take(self, kind: type[S], call: Call | None = None, server_id: int | None = None) -> S | None:
        """The switch of this kind that holds here, counted down by one; None when there is none."""
        self._drop_expired()
        for active in self._active:
            switch = active.switch
            if isinstance(switch, kind) and _holds(switch, call, server_id):
                if active.left is not None:
                    active.left -= 1
                return switch
        return None

    def take_playbook_failure(self, server_id: int, task: int) -> PlaybookFails | None:
        """The failure wanted for the task at this position, counted down only when it is its turn."""
        self._drop_expired()
        for active in self._active:
            switch = active.switch
            if isinstance(switch, PlaybookFails) and switch.task == task and switch.server_id in (None, server_id):
                return self.take(PlaybookFails, server_id=server_id)
        return None

    def remaining_s(self, switch: Switch) -> float | None:
        """Seconds until a switch with `for_s` ends, else None."""
        for active in self._active:
            if active.switch is switch and active.ends_at is not None:
                return max(0.0, active.ends_at - self._clock.monotonic())
        return None

    def _drop_expired(self) -> None:
        now = self._clock.monotonic()
        self._active = [a for a in self._active if a.left != 0 and (a.ends_at is None or a.ends_at > now)]


def _holds(switch: Switch, call: Call | None, server_id: int | None) -> bool:
    return switch.call in (None, call) and switch.server_id in (None, server_id)


def _name(switch: Switch) -> str:
    return str(type(switch).model_fields["name"].default)


def _key(switch: Switch) -> tuple[str, Call | None, int | None]:
    return _name(switch), switch.call, switch.server_id
