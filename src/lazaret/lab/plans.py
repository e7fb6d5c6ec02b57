"""How a task that is ordered will go, as the switches want it at that moment."""

from pydantic import SecretStr

from lazaret.lab.calls import Call
from lazaret.lab.switches import AwkwardPassword, PasswordText, SshKeyHonoured, Switchboard, TaskFails, TaskHangs
from lazaret.lab.tasks import TaskPlan, new_password

_CARRYING_A_PASSWORD = (Call.RESET_PASSWORD, Call.REINSTALL)


def plan_of(switches: Switchboard, call: Call, server_id: int) -> TaskPlan:
    """Counts down the switches that hold here."""
    failure = switches.take(TaskFails, call, server_id)
    text = switches.take(PasswordText, call, server_id) if call in _CARRYING_A_PASSWORD else None
    return TaskPlan(
        fails_with=failure.text if failure else None,
        hangs=switches.take(TaskHangs, call, server_id) is not None,
        password_form=text.form if text else "html",
        ssh_key_honoured=call is Call.REINSTALL and switches.take(SshKeyHonoured, call, server_id) is not None,
    )


def fresh_password(switches: Switchboard, call: Call, server_id: int) -> SecretStr | None:
    """For the tasks that set one."""
    if call not in _CARRYING_A_PASSWORD:
        return None
    return new_password(awkward=switches.take(AwkwardPassword, call, server_id) is not None)
