"""Rules 10 and 11 over made-up hosts: nobody is ever locked out, and what does not hold is never called proved."""

from types import ModuleType, SimpleNamespace

from hypothesis import event, given
from hypothesis import strategies as st

from tests.unit.playbooks.box import SSH_DEFAULTS, Box
from tests.unit.playbooks.modules import module

ACCESS = module("machine_access")
PORTS = st.integers(1, 65535)
RIGHT_SSHD = ACCESS.SSHD_CONTENT


def rules_for(ports: set[int]) -> str:
    return "".join(f"### tuple ### allow tcp {port} 0.0.0.0/0 any 0.0.0.0/0 in\n" for port in sorted(ports))


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    """A host as somebody left it: with or without a firewall, hardened or not, its own rules, a dead run's traces."""
    ssh_port = draw(st.sampled_from([22, 22, 2222]))
    files = {"/etc/ufw/after.rules": "*filter\nCOMMIT\n", "/etc/ufw/after6.rules": "*filter\nCOMMIT\n"}
    was_up = draw(st.booleans())
    allowed = draw(st.sets(PORTS, max_size=3)) | ({ssh_port} if was_up else set())
    files["/etc/ufw/user.rules"] = rules_for(allowed)
    files["/etc/ufw/ufw.conf"] = f"ENABLED={'yes' if was_up else 'no'}\n"
    for path, texts in (
        ("/etc/default/ufw", ['IPV6=yes\nDEFAULT_INPUT_POLICY="DROP"\n', "IPV6=no\n", ""]),
        (ACCESS.SSHD_FILE, [RIGHT_SSHD, "PasswordAuthentication yes\n"]),
        (ACCESS.PUBLISHED_FILE, ["8080\n", "garbage\n"]),
    ):
        if draw(st.booleans()):
            files[path] = draw(st.sampled_from(texts))
    if draw(st.booleans()):  # a run that died before
        files |= {f"{ACCESS.STATE}/": "", f"{ACCESS.STATE}/0": "older"}
    box = Box(ssh_port, files, armed=f"{ACCESS.STATE}/" in files)
    if draw(st.booleans()):  # in order, but for what somebody changed since
        access = box.module()
        applied(box, access)
        access.confirm()
        box.risks.clear()
        changed = draw(st.sampled_from(["", *box.files]))
        box.files[changed] = draw(st.sampled_from(["", files.get(changed, "")]))
    box.sshd_has_its_own_way = draw(st.sampled_from(["", "", "", *SSH_DEFAULTS]))
    box.fails_at = draw(st.none() | st.integers(1, 12))
    box.dies_at = draw(st.none() | st.integers(1, 30))
    box.commands = box.checked = 0
    return box


def applied(box: Box, access: ModuleType) -> str:
    """How the module ended: what it returned, how it failed, or that it died."""
    parameters = {"allowed_tcp_ports": [80, 443], "ssh_port": box.ssh_port, "rollback_timeout_s": 60}
    try:
        return str(access.apply(SimpleNamespace(params=parameters, check_mode=False)))
    except access.Failed as error:
        return f"failed: {error}"
    except KeyboardInterrupt:
        return "died"


@given(boxes())
def test_nobody_is_locked_out_however_the_run_ends(box: Box) -> None:
    """The box itself raises when a rule is enabled before ssh is allowed, or anything is changed without the timer."""
    before = dict(box.files)
    access = box.module()
    ended = applied(box, access)
    event(ended.partition(":")[0])
    if box.risks:
        assert box.armed, "only a login that is proved may stop the timer"
        script = box.files[f"{ACCESS.STATE}/rollback.sh"]
        for number, path in enumerate((ACCESS.SSHD_FILE, *ACCESS.UFW_FILES)):
            if path in before:
                assert f"cp -p {ACCESS.STATE}/{number} {path}" in script
                assert box.files[f"{ACCESS.STATE}/{number}"] == before[path], "what is kept is what let us in"
            else:
                assert f"rm -f {path}" in script


@given(boxes())
def test_what_is_told_to_be_right_is_right_and_stays_so(box: Box) -> None:
    access = box.module()
    box.fails_at = box.dies_at = None
    ended = applied(box, access)
    if ended.startswith("failed"):
        assert box.sshd_has_its_own_way, ended
        return
    assert box.is_in_order({80, 443, box.ssh_port})
    access.confirm()
    assert not box.armed
    box.risks.clear()
    assert applied(box, access) == "{'changed': False, 'armed': False}"
    assert box.risks == [], "a second run changes nothing"


SETTINGS = {
    "passwordauthentication": st.sampled_from(["yes", "no"]),
    "kbdinteractiveauthentication": st.sampled_from(["yes", "no"]),
    "permitrootlogin": st.sampled_from(["yes", "no", "without-password", "prohibit-password", "forced-commands-only"]),
    "pubkeyauthentication": st.sampled_from(["yes", "no"]),
}


@given(st.fixed_dictionaries({}, optional=SETTINGS))
def test_sshd_is_proved_only_by_what_it_really_does(effective: dict[str, str]) -> None:
    proof = module("machine_proof")
    text = "\n".join(f"{key} {value}" for key, value in effective.items())
    proof.run = lambda *_: (0, text, "")  # type: ignore[attr-defined]
    _, problem = proof.sshd(None)
    closed = all(effective.get(key) in values for key, values in ACCESS.SSHD_WANTED.items())
    assert (problem == "") == closed


@given(
    st.booleans(),
    st.sampled_from(["deny (incoming)", "allow (incoming)", "reject (incoming)"]),
    st.sets(st.sampled_from([22, 80, 443, 8080])),
    st.tuples(st.booleans(), st.booleans()),
    st.tuples(st.booleans(), st.booleans()),
)
def test_a_firewall_is_proved_only_when_all_of_it_holds(
    active: bool, default: str, allowed: set[int], drops: tuple[bool, bool], covers: tuple[bool, bool]
) -> None:
    proof = module("machine_proof")
    status = f"Status: {'active' if active else 'inactive'}\nDefault: {default}, allow (outgoing)\n\n" + "\n".join(
        f"{port}/tcp ALLOW IN Anywhere" for port in sorted(allowed)
    )
    kernel = dict(zip(("iptables", "ip6tables"), zip(drops, covers, strict=True), strict=True))

    def run(*command: str) -> tuple[int, str, str]:
        if command[0] == "ufw":
            return 0, status, ""
        dropping, covering = kernel[command[0]]
        if command[2] == "INPUT":
            return 0, f"-P INPUT {'DROP' if dropping else 'ACCEPT'}", ""
        return 0, "-A DOCKER-USER -j DROP" if covering else "-N DOCKER-USER", ""

    proof.run = run  # type: ignore[attr-defined]
    _, problem = proof.firewall({"allowed_tcp_ports": [22, 80, 443]})
    holds = active and default.startswith("deny") and {22, 80, 443} <= allowed and all(drops) and all(covers)
    assert (problem == "") == holds


def test_the_box_knows_every_door_of_the_module() -> None:
    """What the module imports to change a machine is what the box replaces."""
    doors = {name for name, value in vars(ACCESS).items() if isinstance(value, ModuleType)}
    assert doors == {"os", "re", "shutil", "subprocess"}
