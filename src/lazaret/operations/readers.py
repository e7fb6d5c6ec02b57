"""Who may read what of an operation's result: one rule for API, dashboard and command line. Pure."""

from collections.abc import Mapping
from typing import Any

from lazaret.operations.model import Operation
from lazaret.users.model import Role

NEEDS: Mapping[str, Role] = {"logs": Role.OPERATOR}
"""What not everybody reads, by its name in the result. Logs may tell much: only operators may ask for them."""


def readable_result(operation: Operation, role: Role) -> dict[str, Any]:
    """The operation's result without what needs a higher role than this one."""
    return {name: value for name, value in operation.result.items() if role.includes(NEEDS.get(name, Role.VIEWER))}
