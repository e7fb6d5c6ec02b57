"""Eight of eight real hosts lose their power at once: no remedy, one incident that says why, then one goes first."""

import asyncio

from tests.acceptance.healing.ward import ON_REAL_HOSTS, Ward, serving

SERVERS, SERVING = 8, 3
SETTINGS = {"LAZARET_STORM_QUIET": "15"}
pytestmark = ON_REAL_HOSTS


async def test_eight_of_eight_lost_at_once_and_a_canary_goes_first(ward: Ward) -> None:
    scene, handles = ward.scene, ward.handles
    serves = await asyncio.gather(*(serving(ward, index) for index in range(SERVING)))
    await ward.settle()
    await asyncio.gather(*(scene.lab.cloud.power_off(ward.host(handle).handle_id) for handle in handles))

    async def storm() -> bool:
        kinds = [row.incident_type for row in await scene.incidents()]
        return kinds.count("server_unreachable") == SERVERS and kinds.count("many_servers_lost") == 1

    async def begun() -> list[str]:
        return [handle for handle in handles if await scene.remedies(handle)]

    await scene.until("a storm is told", storm)
    assert await begun() == [], await scene.story()
    await scene.until("a canary goes", begun)
    (canary,) = await begun()

    async def canary_is_back() -> bool:
        is_back = (await scene.incidents(canary))[-1].status == "resolved"
        assert is_back or await begun() == [canary], await scene.story()
        return is_back

    await scene.until("the canary is back, and nobody else was treated meanwhile", canary_is_back, timeout_s=90)
    for handle in handles:
        await scene.until_resolved(handle, timeout_s=200)
        assert len(ward.reboots(handle)) == 1
    for handle, port in serves:
        await ward.until_says(handle, port, "hello")
    assert [row.incident_type for row in await scene.incidents()].count("many_servers_lost") == 1
    await ward.settle()
