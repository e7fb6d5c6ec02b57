#!/usr/bin/python3
"""Ansible module: changes how the machine can be reached, under a timed roll-back.

`applied` arms a systemd timer that takes everything back, then raises the firewall and hardens sshd. `confirmed`
disarms it; it is called over a new connection, so that only a login that works keeps the changes. Where nothing is
to be changed nothing is armed. `published` opens exactly these ports of containers, besides those that are always
open; it cannot lock anybody out.
"""

import os
import re
import shutil
import subprocess

from ansible.module_utils.basic import AnsibleModule

SSHD_FILE = "/etc/ssh/sshd_config.d/00-lazaret.conf"
SSHD_CONTENT = """# Written by Lazaret. sshd takes the first value that it meets, so this file comes before all others.
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PubkeyAuthentication yes
"""
SSHD_WANTED = {
    "passwordauthentication": {"no"},
    "kbdinteractiveauthentication": {"no"},
    "permitrootlogin": {"without-password", "prohibit-password"},
    "pubkeyauthentication": {"yes"},
}
STATE = "/var/lib/lazaret/rollback"
UNIT = "lazaret-rollback"
DONE = f"{STATE}/done"
UFW_DEFAULTS = "/etc/default/ufw"
UFW_FILES = (
    UFW_DEFAULTS,
    "/etc/ufw/ufw.conf",
    "/etc/ufw/user.rules",
    "/etc/ufw/user6.rules",
    "/etc/ufw/after.rules",
    "/etc/ufw/after6.rules",
)
RULES = {"iptables-restore": "/etc/ufw/after.rules", "ip6tables-restore": "/etc/ufw/after6.rules"}
DEFAULTS_WANTED = {"IPV6": "yes", "DEFAULT_INPUT_POLICY": '"DROP"'}
"""Without the first, IPv6 is open or unguarded; without the second, ufw lets in what no rule names."""
PUBLISHED_FILE = "/etc/lazaret/published-ports"
"""The ports of deployments, one a line: they outlive reloads, reboots and the next provisioning."""
BEGIN, END = "# BEGIN LAZARET", "# END LAZARET"


class Failed(Exception):
    """One sentence for the operator."""


def run(*command, check=True, stdin=None):
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace", input=stdin)
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(command[:3])} failed: {(done.stderr or done.stdout).strip()[:400]}")
    return done.stdout


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def write(path, content, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(f"{path}.lazaret", "w", encoding="utf-8") as file:
        file.write(content)
    os.chmod(f"{path}.lazaret", mode)
    os.replace(f"{path}.lazaret", path)


def effective_sshd():
    """What sshd really does, from `sshd -T`."""
    os.makedirs("/run/sshd", exist_ok=True)
    return dict(line.split(" ", 1) for line in run("sshd", "-T").splitlines() if " " in line)


def sshd_is_right():
    effective = effective_sshd()
    return read(SSHD_FILE) == SSHD_CONTENT and all(effective.get(key) in values for key, values in SSHD_WANTED.items())


def docker_block(ports):
    """Rules for ports that Docker publishes, which pass by ufw's own chains: what is not listed is dropped.

    Kept in ufw's after.rules, so that they are there before Docker starts, and again after each reload.
    """
    allowed = "".join(
        f"-A LAZARET-PUBLISHED -p tcp -m conntrack --ctstate DNAT --ctorigdstport {port} -j ACCEPT\n" for port in ports
    )
    return f"""{BEGIN}
*filter
:DOCKER-USER - [0:0]
:LAZARET-PUBLISHED - [0:0]
-A DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN
-A DOCKER-USER -i docker+ -j RETURN
-A DOCKER-USER -i br-+ -j RETURN
-A DOCKER-USER -j LAZARET-PUBLISHED
-A DOCKER-USER -j DROP
{allowed}COMMIT
{END}
"""


def with_block(text, block):
    """`text` with our block in place of an older one, at its end."""
    return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}\n", "", text, flags=re.DOTALL).rstrip("\n") + "\n" + block


def allowed_ports(rules):
    """The TCP ports that ufw's user.rules let in from anywhere."""
    ports = set()
    for match in re.finditer(r"^### tuple ### allow tcp ([\d,]+) \S+ any \S+ in", rules or "", re.MULTILINE):
        ports |= {int(port) for port in match[1].split(",")}
    return ports


def with_settings(text, wanted):
    """Shell assignments in `text` set to the values `wanted`; whatever else stands there stays."""
    for name, value in wanted.items():
        line = f"{name}={value}"
        text, found = re.subn(rf"^{name}=.*$", line, text, flags=re.MULTILINE)
        if not found:
            text = f"{text.rstrip()}\n{line}\n".lstrip("\n")
    return text


def published_ports():
    """The ports of containers that deployments opened."""
    return {int(line) for line in (read(PUBLISHED_FILE) or "").split() if line.isdigit()}


def is_enabled():
    return "ENABLED=yes" in (read("/etc/ufw/ufw.conf") or "")


def firewall_is_right(ports):
    """Whether the files say so, for the next start, and the kernel does so, now."""
    defaults, block = read(UFW_DEFAULTS) or "", docker_block(sorted(set(ports) | published_ports()))
    return (
        is_enabled()
        and with_settings(defaults, DEFAULTS_WANTED) == defaults
        and set(ports) <= allowed_ports(read("/etc/ufw/user.rules"))
        and all(block in (read(path) or "") for path in RULES.values())
        and all(kernel_filters(tables) for tables in ("iptables", "ip6tables"))
        and docker_is_filtered()
    )


def kernel_filters(tables):
    """Whether what no rule names is dropped, and Docker's ports are looked at."""
    incoming = run(tables, "-S", "INPUT", check=False)
    before = "-A INPUT -j ufw6-before-input" if tables == "ip6tables" else "-A INPUT -j ufw-before-input"
    published = run(tables, "-S", "DOCKER-USER", check=False)
    return "-P INPUT DROP" in incoming and before in incoming and "-A DOCKER-USER -j DROP" in published


def docker_is_filtered():
    """Whether Docker, where it runs, has its rules in the kernel: once flushed, only Docker brings them back."""
    if run("systemctl", "is-active", "docker", check=False).strip() != "active":
        return True
    return "-A FORWARD -j DOCKER-USER" in run("iptables", "-S", "FORWARD", check=False)


def forget_loose_chains(tables):
    """Take away ufw's chains where nothing leads to them, as after a flush.

    ufw ties its chains to the kernel's own only when it makes them: reloaded over loose ones it drops everything.
    """
    rules = run(tables, "-S", check=False).splitlines()
    chains = [line.split()[1] for line in rules if line.startswith("-N ufw")]
    if not chains or any(line.startswith("-A INPUT") and "before-input" in line for line in rules):
        return
    run(tables, "-w", "-P", "INPUT", "ACCEPT")
    for line in rules:
        if line.startswith(("-A INPUT", "-A OUTPUT", "-A FORWARD")) and " -j ufw" in line:
            run(tables, "-w", "-D", *line.split()[1:])
    for chain in chains:
        run(tables, "-w", "-F", chain)
    for chain in chains:
        run(tables, "-w", "-X", chain)


def rollback_script():
    """Shell that brings back what was kept under STATE, and says so when it is through."""
    lines = ["set -u"]
    for number, path in enumerate((SSHD_FILE, *UFW_FILES)):
        lines.append(f"cp -p {STATE}/{number} {path}" if os.path.exists(path) else f"rm -f {path}")
    lines += ["ufw reload"] if is_enabled() else ["ufw --force disable"]
    lines += [f"{tables} -F DOCKER-USER" for tables in ("iptables", "ip6tables") if not is_enabled()]
    lines += [
        "systemctl try-reload-or-restart ssh",
        "logger -t lazaret 'took back changes to sshd and the firewall'",
        f"touch {DONE}",
    ]
    return "\n".join(lines) + "\n"


def arm(timeout_s):
    """Keep what is there now, which let us in, and start the timer that brings it back."""
    disarm()
    os.makedirs(STATE, mode=0o700)
    for number, path in enumerate((SSHD_FILE, *UFW_FILES)):
        if os.path.exists(path):
            shutil.copy2(path, f"{STATE}/{number}")
    write(f"{STATE}/rollback.sh", rollback_script(), 0o700)
    command = ["systemd-run", f"--unit={UNIT}", f"--on-active={timeout_s}", "--timer-property=AccuracySec=1s"]
    run(*command, "--quiet", "/bin/sh", f"{STATE}/rollback.sh")


def disarm():
    """Stop the timer and forget what was kept; returns whether it had struck already."""
    run("systemctl", "stop", f"{UNIT}.timer", check=False)
    if run("systemctl", "is-active", f"{UNIT}.service", check=False).strip() in ("active", "activating"):
        raise Failed("The changes are being taken back just now. Provision again.")
    run("systemctl", "reset-failed", f"{UNIT}.service", check=False)
    struck = os.path.exists(DONE)
    shutil.rmtree(STATE, ignore_errors=True)
    return struck


def harden_sshd():
    write(SSHD_FILE, SSHD_CONTENT)
    run("sshd", "-t")
    effective = effective_sshd()
    wrong = [key for key, values in SSHD_WANTED.items() if effective.get(key) not in values]
    if wrong:
        raise Failed(
            f"sshd still has its own way with {', '.join(wrong)}. Cure: look for Match blocks in /etc/ssh/sshd_config."
        )
    run("systemctl", "try-reload-or-restart", "ssh")


def raise_firewall(ports):
    """Allow first, then enable."""
    write(UFW_DEFAULTS, with_settings(read(UFW_DEFAULTS) or "", DEFAULTS_WANTED))
    write_published_rules(sorted(set(ports) | published_ports()))
    absent = sorted(set(ports) - allowed_ports(read("/etc/ufw/user.rules")))
    if absent:
        run("ufw", "allow", "proto", "tcp", "to", "any", "port", ",".join(map(str, absent)))
    for tables in ("iptables", "ip6tables"):
        forget_loose_chains(tables)
    if is_enabled():
        run("ufw", "reload")
    else:
        run("ufw", "--force", "enable")
    if not docker_is_filtered():
        run("systemctl", "restart", "docker")


def write_published_rules(ports):
    for path in RULES.values():
        write(path, with_block(read(path) or "", docker_block(ports)), 0o640)


def ports_of(module):
    return sorted({int(port) for port in module.params["allowed_tcp_ports"]} | {int(module.params["ssh_port"])})


def apply(module):
    """Returns whether anything differed, and whether a timer runs that waits to be disarmed.

    A run that died may have left its timer: the next one must disarm it, too, although it has nothing to change.
    """
    ports = ports_of(module)
    sshd_right, firewall_right = sshd_is_right(), firewall_is_right(ports)
    if sshd_right and firewall_right:
        if os.path.exists(DONE) and not module.check_mode:
            disarm()
        return {"changed": False, "armed": os.path.isdir(STATE)}
    if not module.check_mode:
        arm(module.params["rollback_timeout_s"])
        if not firewall_right:
            raise_firewall(ports)
        if not sshd_right:
            harden_sshd()
    return {"changed": True, "armed": True}


def confirm():
    if disarm():
        raise Failed("The changes were taken back before a second login proved itself. Provision again.")
    return {"changed": False}


def publish(module):
    """Exactly these ports of containers are open, besides those that always are; connections live on."""
    wanted = sorted({int(port) for port in module.params["published_tcp_ports"]})
    content = "".join(f"{port}\n" for port in wanted)
    block = docker_block(sorted({*ports_of(module), *wanted}))
    right = (read(PUBLISHED_FILE) or "") == content and all(block in (read(path) or "") for path in RULES.values())
    if right or module.check_mode:
        return {"changed": not right}
    write(PUBLISHED_FILE, content)
    write_published_rules(sorted({*ports_of(module), *wanted}))
    for restore in RULES:
        run(restore, "--noflush", "--wait", "10", stdin=block)
    return {"changed": True}


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"choices": ["applied", "confirmed", "published"], "required": True},
            "ssh_port": {"type": "int", "default": 22},
            "allowed_tcp_ports": {"type": "list", "elements": "int", "default": []},
            "published_tcp_ports": {"type": "list", "elements": "int", "default": []},
            "rollback_timeout_s": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    try:
        actions = {
            "applied": lambda: apply(module),
            "confirmed": confirm,
            "published": lambda: publish(module),
        }
        module.exit_json(**actions[module.params["state"]]())
    except Failed as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
