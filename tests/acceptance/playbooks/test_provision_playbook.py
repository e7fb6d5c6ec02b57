"""The playbook on a real host, without Lazaret around it: refused, killed, converged, attacked, seen from outside.

One host for all, in this order: it says what is wrong and changes nothing, it takes back what it risked when it dies in
the middle, the next run goes on from there, and what that brought about stays.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import asyncssh
import pytest
import pytest_asyncio

from lazaret.lab.instance import wait_for_port
from lazaret.lab.requirements import missing_requirements
from lazaret.servers.access import AccessError, PortState
from lazaret.servers.configuration import TaskState
from tests.acceptance.playbooks.stage import COMMENT, Died, Stage, stage_in

MISSING = missing_requirements()
pytestmark = [
    pytest.mark.real_host,
    pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING)),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(600),
]

SHORT_ROLLBACK_S = 20
"""Shorter than the playbook's own, and long enough to see the risky changes before they are taken back."""
TAKEN_BACK_S = 90
"""So long it is waited for; the playbook's own roll-back, of 120 s, could not come within it."""
POLITE_S = 3
"""Between two looks without a login, lest Debian 13's sshd shut us out (`PerSourcePenalties`)."""
WEB = """set -eu
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq busybox-static >/dev/null
mkdir -p /tmp/image/bin /tmp/image/www; cp /bin/busybox /tmp/image/bin/; echo hello > /tmp/image/www/index.html
tar -C /tmp/image -c . | docker import - test/web:1 >/dev/null
docker run -d --name web --restart unless-stopped -p 8080:9000 test/web:1 /bin/busybox httpd -f -p 9000 -h /www
"""
HOLD_LOCK = """import fcntl, os, time
with open("/var/lib/dpkg/lock-frontend", "w") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    open("/tmp/holds", "w").close()
    while os.path.exists("/tmp/holds"):
        time.sleep(0.2)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with stage_in(tmp_path_factory.mktemp("playbook")) as made:
        yield made


# What a run may leave before anything is changed: the time stamps of /etc and of the packages.
UNTOUCHED = "find /etc /var/lib/dpkg /root/.ssh -printf '%p %T@ %U %m\\n' | sort | sha256sum"


async def test_a_wrong_owner_is_met_before_anything_is_changed(stage: Stage) -> None:
    before = (await stage.say(UNTOUCHED)).stdout
    await stage.host.run_inside("chown", "1000", "/root/.ssh")
    result = await stage.provision()
    assert (result.ok, result.unreachable, result.changed) == (False, True, 0), "sshd ignores such a directory"
    await stage.host.run_inside("chown", "0", "/root/.ssh")
    assert (await stage.say(UNTOUCHED)).stdout == before


async def assert_refused_untouched(stage: Stage, *, beside_our_key: str, says: str) -> None:
    """With this line among the keys that let root in, nothing is changed, and the report says why and what to do."""
    keep = "cp -p /root/.ssh/authorized_keys /root/kept; cat >> /root/.ssh/authorized_keys"
    await stage.say(keep, stdin=beside_our_key)
    before = (await stage.say(UNTOUCHED)).stdout
    result = await stage.provision()
    assert result.report["preflight_failed"] is True
    assert says in result.error and "Cure" in result.error
    assert (await stage.say(UNTOUCHED)).stdout == before
    await stage.say("mv /root/kept /root/.ssh/authorized_keys")


async def test_another_key_by_our_name_is_told_before_anything_is_changed(stage: Stage) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519", comment=COMMENT).export_public_key().decode()
    await assert_refused_untouched(stage, beside_our_key=other, says="another key that is called 'lazaret'")


async def test_a_key_with_restrictions_is_told_before_anything_is_changed(stage: Stage) -> None:
    restricted = f'command="/bin/true" {stage.public_key}'
    await assert_refused_untouched(stage, beside_our_key=restricted, says="restrictions")


async def test_a_full_disk_changes_nothing_and_names_the_cure(stage: Stage) -> None:
    before = (await stage.say(UNTOUCHED)).stdout
    await stage.say("fallocate -l $(( $(df --output=avail -B1 / | tail -1) - 500000000 )) /ballast")
    result = await stage.provision()
    assert not result.ok
    assert result.report["preflight_failed"] is True
    assert "MB free" in result.error and "Cure" in result.error
    await stage.say("rm /ballast")
    assert (await stage.say(UNTOUCHED)).stdout == before


async def test_a_run_that_dies_leaves_the_host_reachable(stage: Stage) -> None:
    with pytest.raises(Died):
        await stage.provision(die_after="Guard sshd", rollback_s=SHORT_ROLLBACK_S)
    assert not await stage.offers_password(), "the risky changes were made"
    await until_taken_back(stage)
    state = await stage.say("ufw status; ls /etc/ssh/sshd_config.d/; systemctl is-active lazaret-rollback.timer")
    assert "Status: inactive" in state.stdout
    assert "00-lazaret.conf" not in state.stdout
    assert state.stdout.strip().endswith("inactive")


async def test_the_next_run_goes_on_and_brings_everything_about(stage: Stage) -> None:
    result = await stage.provision()
    assert result.ok, result.error
    assert result.report["firewall"] == {
        "active": True,
        "denies_by_default": True,
        "drops": True,
        "allowed": [22, 80, 443],
        "covers_docker": True,
    }
    assert result.report["docker"]["container_ran"] is True
    assert int(result.report["docker"]["compose"].split(".")[0]) >= 2
    assert (await stage.say("cat /etc/own-role /etc/own-handler")).stdout == "mine\nmine\n"
    assert max(event.position for event in stage.events) <= stage.events[0].total
    assert not await is_armed(stage), "no timer, of this run or of the dead one, takes anything back"
    assert not await stage.offers_password()
    assert "Status: active" in (await stage.say("ufw status")).stdout


async def test_no_connection_of_ours_stays(stage: Stage) -> None:
    """They take a moment to go; one that was forgotten would stay for the minute of `ControlPersist`."""
    count = "$(ss -Htn state established sport = :22 | wc -l)"
    said = await stage.say(f"for i in $(seq 40); do [ {count} -gt 1 ] || break; sleep 0.5; done; echo {count}")
    assert said.stdout.strip() == "1", "only the one that asks"


async def test_a_second_run_changes_nothing_and_arms_nothing(stage: Stage) -> None:
    before = (await stage.say("stat -c %Y /etc/ssh/sshd_config.d/00-lazaret.conf /etc/ufw/after.rules")).stdout
    result = await stage.provision()
    assert (result.ok, result.changed) == (True, 0), result.error
    assert (await stage.say("stat -c %Y /etc/ssh/sshd_config.d/00-lazaret.conf /etc/ufw/after.rules")).stdout == before
    assert not (await stage.say("ls /var/lib/lazaret/rollback")).ok


async def test_who_holds_the_package_lock_is_told(stage: Stage) -> None:
    await stage.say(
        "cat > /tmp/hold.py; setsid python3 /tmp/hold.py </dev/null >/dev/null 2>&1 &"
        " until test -e /tmp/holds; do sleep 0.2; done",
        stdin=HOLD_LOCK,
    )
    running = asyncio.create_task(stage.provision())
    try:
        async with asyncio.timeout(120):
            while not any(event.state is TaskState.WAITING for event in stage.events):
                await asyncio.sleep(0.2)
    finally:
        await stage.say("rm -f /tmp/holds")
    result = await running
    assert (result.ok, result.changed) == (True, 0), result.error
    told = [event.message for event in stage.events if event.state is TaskState.WAITING]
    assert told[0].startswith("waiting for python3 ("), told


async def test_a_published_port_is_closed_whatever_is_restarted(stage: Stage) -> None:
    made = await stage.say("sh -s", stdin=WEB)
    assert made.ok, made.stderr
    for disturb in ("true", "systemctl restart docker", "ufw reload", "ufw disable; ufw --force enable"):
        assert (await stage.say(disturb)).ok
        await until_served(stage)
        assert await stage.port(8080) is PortState.SILENT, disturb


async def test_a_deployment_opens_its_port_and_nothing_undoes_it(stage: Stage) -> None:
    always = [22, 80, 443]
    ask = {"state": "published", "allowed_tcp_ports": always}
    assert "CHANGED" in await stage.module("machine_access", **ask, published_tcp_ports=[8080])
    assert await stage.port(8080) is PortState.OPEN
    assert "CHANGED" not in await stage.module("machine_access", **ask, published_tcp_ports=[8080])
    for disturb in ("ufw reload", "systemctl restart docker"):
        await stage.say(disturb)
        await until_served(stage)
        assert await stage.port(8080) is PortState.OPEN, disturb
    result = await stage.provision()
    assert (result.ok, result.changed) == (True, 0), result.error
    await stage.host.reboot()
    await wait_for_port(stage.host.address, 22, timeout_s=60)
    await until_served(stage)
    assert await stage.port(8080) is PortState.OPEN
    assert "CHANGED" in await stage.module("machine_access", **ask, published_tcp_ports=[])
    assert await stage.port(8080) is PortState.SILENT


async def test_a_firewall_that_lets_everything_in_is_seen_and_closed(stage: Stage) -> None:
    await stage.say("sed -i s/IPV6=yes/IPV6=no/ /etc/default/ufw; ufw default allow incoming; ufw reload")
    assert await stage.port(9999) is PortState.REFUSED, "nothing filters it"
    result = await stage.provision()
    assert (result.ok, result.changed) == (True, 1), result.error
    assert await stage.port(9999) is PortState.SILENT
    assert "-P INPUT DROP" in (await stage.say("ip6tables -S INPUT")).stdout


async def test_the_timer_of_a_dead_run_does_not_undo_the_next(stage: Stage) -> None:
    """The next run finds nothing to change, and must disarm it all the same."""
    await stage.say("rm /etc/ssh/sshd_config.d/00-lazaret.conf; systemctl reload ssh")
    longer_than_a_run_s = 300
    arguments = {"state": "applied", "allowed_tcp_ports": [22, 80, 443], "rollback_timeout_s": longer_than_a_run_s}
    assert "CHANGED" in await stage.module("machine_access", **arguments)
    assert await is_armed(stage)
    result = await stage.provision()
    assert (result.ok, result.changed) == (True, 0), result.error
    assert not await is_armed(stage)
    assert not (await stage.say("ls /var/lib/lazaret/rollback")).ok, "nor is anything kept that could be brought back"
    assert not await stage.offers_password()


async def is_armed(stage: Stage) -> bool:
    """Whether systemd knows of a roll-back to come, or of one at work."""
    units = (await stage.say("systemctl list-units --all --plain --no-legend 'lazaret-rollback*'")).stdout
    return " active " in units or " activating " in units


async def until_taken_back(stage: Stage) -> None:
    """sshd offers what it did before, and the roll-back is through."""
    try:
        async with asyncio.timeout(TAKEN_BACK_S):
            while True:
                with suppress(AccessError):  # sshd is just being restarted
                    if await stage.offers_password() and not await is_armed(stage):
                        return
                await asyncio.sleep(POLITE_S)
    except TimeoutError:
        raise AssertionError("nothing was taken back, although no second login proved it") from None


async def until_served(stage: Stage) -> None:
    """The container answers from inside, so that silence outside means something."""
    for _ in range(240):
        if (await stage.say("curl -fsS -m 5 http://127.0.0.1:8080/")).stdout == "hello\n":
            return
        await asyncio.sleep(0.25)
    raise AssertionError("the container does not answer from inside")
