#!/usr/bin/python3
"""Ansible module: changes how the machine can be reached, under a timed roll-back.

`applied` arms a systemd timer that takes everything back, then raises the firewall and hardens sshd. `confirmed`
disarms it; it is called over a new connection, so that only a login that works keeps the changes. Where nothing is
to be changed nothing is armed.
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
UFW_FILES = (
    "/etc/ufw/ufw.conf",
    "/etc/ufw/user.rules",
    "/etc/ufw/user6.rules",
    "/etc/ufw/after.rules",
    "/etc/ufw/after6.rules",
)
BEGIN, END = "# BEGIN LAZARET", "# END LAZARET"


class Failed(Exception):
    """One sentence for the operator."""


def run(*command, check=True):
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
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
-A DOCKER-USER -i docker0 -j RETURN
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


def firewall_is_right(ports):
    block = docker_block(ports)
    return (
        "ENABLED=yes" in (read("/etc/ufw/ufw.conf") or "")
        and set(ports) <= allowed_ports(read("/etc/ufw/user.rules"))
        and all(block in (read(path) or "") for path in ("/etc/ufw/after.rules", "/etc/ufw/after6.rules"))
        and "-A INPUT -j ufw-before-input" in run("iptables", "-S", "INPUT", check=False)
        and "-A DOCKER-USER -j DROP" in run("iptables", "-S", "DOCKER-USER", check=False)
    )


def arm(timeout_s):
    """Keep what is there now and start the timer that brings it back."""
    if os.path.isdir(STATE):
        disarm()
    os.makedirs(STATE, mode=0o700)
    lines = ["set -u", f"cd {STATE}"]
    for number, path in enumerate((SSHD_FILE, *UFW_FILES)):
        if os.path.exists(path):
            shutil.copy2(path, f"{STATE}/{number}")
            lines.append(f"cp -p {STATE}/{number} {path}")
        else:
            lines.append(f"rm -f {path}")
    was_enabled = "ENABLED=yes" in (read("/etc/ufw/ufw.conf") or "")
    lines.append(
        "ufw reload" if was_enabled else "ufw --force disable; iptables -F DOCKER-USER; ip6tables -F DOCKER-USER"
    )
    lines += [
        "systemctl try-reload-or-restart ssh",
        "logger -t lazaret 'took back changes to sshd and the firewall'",
        f"touch {STATE}/done",
    ]
    write(f"{STATE}/rollback.sh", "\n".join(lines) + "\n", 0o700)
    run(
        "systemd-run",
        f"--unit={UNIT}",
        f"--on-active={timeout_s}",
        "--timer-property=AccuracySec=1s",
        "--quiet",
        "/bin/sh",
        f"{STATE}/rollback.sh",
    )


def disarm():
    """Stop the timer and forget what was kept. Raises when it had struck already."""
    run("systemctl", "stop", f"{UNIT}.timer", check=False)
    run("systemctl", "reset-failed", f"{UNIT}.service", check=False)
    struck = os.path.exists(f"{STATE}/done")
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
    for path in ("/etc/ufw/after.rules", "/etc/ufw/after6.rules"):
        write(path, with_block(read(path) or "", docker_block(ports)), 0o640)
    absent = sorted(set(ports) - allowed_ports(read("/etc/ufw/user.rules")))
    if absent:
        run("ufw", "allow", "proto", "tcp", "to", "any", "port", ",".join(map(str, absent)))
    if "ENABLED=yes" in (read("/etc/ufw/ufw.conf") or ""):
        run("ufw", "reload")
    else:
        run("ufw", "--force", "enable")


def apply(module):
    ports = sorted({int(port) for port in module.params["allowed_tcp_ports"]} | {int(module.params["ssh_port"])})
    sshd_right, firewall_right = sshd_is_right(), firewall_is_right(ports)
    if sshd_right and firewall_right:
        return False
    if module.check_mode:
        return True
    arm(module.params["rollback_timeout_s"])
    if not firewall_right:
        raise_firewall(ports)
    if not sshd_right:
        harden_sshd()
    return True


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"choices": ["applied", "confirmed"], "required": True},
            "ssh_port": {"type": "int", "default": 22},
            "allowed_tcp_ports": {"type": "list", "elements": "int", "default": []},
            "rollback_timeout_s": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    try:
        if module.params["state"] == "applied":
            module.exit_json(changed=apply(module))
        if disarm():
            raise Failed("The changes were taken back before a second login proved itself. Provision again.")
        module.exit_json(changed=False)
    except Failed as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
