"""What `why` advises for incidents that wait for a person: commands that can be typed as they stand."""

import pytest

from lazaret.healing.why import _for_a_person
from lazaret.incidents.model import Incident, IncidentType
from lazaret.servers.model import Server

LOST, SET_UP = IncidentType.SERVER_UNREACHABLE, IncidentType.PROVISIONING_FAILED


@pytest.mark.parametrize(
    ("kinds", "commands"),
    [
        ([LOST], "Try again: lazaret incidents recover 1"),
        ([LOST, LOST], "Try again: lazaret incidents recover 1; lazaret incidents recover 2"),
        ([SET_UP, LOST], "Try again: lazaret incidents recover 2"),
        ([SET_UP], "Mend what is said, then set it up again: lazaret provision vps-1"),
    ],
)
def test_the_commands_for_a_person(kinds: list[IncidentType], commands: str) -> None:
    incidents = [Incident(id=number, incident_type=kind) for number, kind in enumerate(kinds, 1)]
    assert _for_a_person(Server(handle="vps-1"), incidents).endswith(commands)
