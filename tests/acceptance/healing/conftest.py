"""Real Debian hosts, watched and healed, each with an image for a service that must answer from outside in the end."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from lazaret.lab.images import make_web_image
from tests.acceptance.healing.ward import Ward
from tests.acceptance.prepared import prepared_disk
from tests.healing_scene import scene_of

FULL_S = "4"
"""A full check starts twenty programs on a host that has these two cores to share with all the others."""
POLITE_S = "5"
"""Debian 13's sshd shuts out who leaves before the login more than once in that time (`PerSourcePenalties`)."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ward(request: pytest.FixtureRequest) -> AsyncIterator[Ward]:
    """Servers that are ready; a module says how many by `SERVERS`, and more by `SETTINGS`."""
    hurry = {"LAZARET_REMEDY_PATIENCE": "0.4", "LAZARET_KNOCK_INTERVAL": POLITE_S, "HEALTH_CHECK_INTERVAL": FULL_S}
    settings = {**hurry, **getattr(request.module, "SETTINGS", {})}
    async with scene_of(request.module.SERVERS, simulated=False, prepared=await prepared_disk(), **settings) as scene:
        made = Ward(scene)
        for handle in made.handles:
            await make_web_image(made.host(handle))
        yield made
