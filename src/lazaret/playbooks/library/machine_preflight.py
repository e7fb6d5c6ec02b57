#!/usr/bin/python3
"""Ansible module: looks at the machine and changes nothing; fails with one sentence and its cure."""

import array
import fcntl
import os
import subprocess

from ansible.module_utils.basic import AnsibleModule

LEAST_FREE_MB = 1500
"""What the packages need, with room for the upgrade."""
LEAST_FREE_INODES = 20000
ARCHITECTURES = ("x86_64", "aarch64")
GET_FLAGS, IMMUTABLE_OR_APPEND_ONLY = 0x80086601, 0x10 | 0x20
"""FS_IOC_GETFLAGS and what chattr +i and +a set; the same on all 64-bit Linux."""


def read_os_release(text):
    """`debian-13` or `ubuntu-24.04` from /etc/os-release."""
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return "-".join(fields.get(name, "").strip('"') for name in ("ID", "VERSION_ID"))


def free_space_problem(path, least_mb, least_inodes):
    """One sentence when there is too little room under `path`, else an empty string."""
    stat = os.statvfs(path)
    free_mb = stat.f_bavail * stat.f_frsize // 1048576
    if free_mb < least_mb:
        return f"{path} has {free_mb} MB free; {least_mb} MB are needed. Cure: free space, or take a larger plan."
    if stat.f_files and stat.f_favail < least_inodes:
        return f"{path} has {stat.f_favail} inodes free; {least_inodes} are needed. Cure: delete small files."
    return ""


def ssh_problem(home, uid, public_key):
    """One sentence when our key could not live in `home`/.ssh, else an empty string."""
    directory, file = os.path.join(home, ".ssh"), os.path.join(home, ".ssh", "authorized_keys")
    for path in (home, directory, file):
        if not os.path.lexists(path):
            continue
        stat = os.lstat(path)
        if stat.st_uid != uid:
            return f"{path} does not belong to root; sshd ignores it. Cure: chown root {path}"
        if stat.st_mode & 0o022 and not os.path.islink(path):
            return f"{path} may be written by others; sshd ignores it. Cure: chmod go-w {path}"
    lines = read_lines(file)
    conflict = key_conflict(lines, public_key)
    if conflict:
        return f"{file} {conflict}"
    material = " ".join(public_key.split()[:2])
    if material and not any(line.startswith(material) for line in lines):
        for path in (directory, file):
            if is_frozen(path):
                return f"{path} is immutable, so our key cannot be added. Cure: chattr -i -a {path}"
    return ""


def read_lines(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8", errors="replace") as file:
        return [line.strip() for line in file]


def key_conflict(lines, public_key):
    """What in authorized_keys stands against our key, as the end of a sentence; else an empty string."""
    kind, material, comment = [*public_key.split(None, 2), "", "", ""][:3]
    if not material:
        return ""
    for line in lines:
        if f"{kind} {material}" in line and not line.startswith(f"{kind} {material}"):
            return "holds our key with restrictions in front of it. Cure: remove that line."
        if comment and line.endswith(f" {comment.strip()}") and material not in line and not line.startswith("#"):
            return (
                f"holds another key that is called {comment.strip()!r} as ours is: of an older or another Lazaret."
                " Cure: remove that line, if nobody needs it any more."
            )
    return ""


def is_frozen(path):
    """Whether chattr protects this file or directory from everybody."""
    flags = array.array("L", [0])
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.ioctl(descriptor, GET_FLAGS, flags)
    except OSError:
        return False  # this file system has no such flags
    finally:
        os.close(descriptor)
    return bool(flags[0] & IMMUTABLE_OR_APPEND_ONLY)


def is_active(unit):
    return subprocess.run(["systemctl", "is-active", "--quiet", unit], check=False).returncode == 0


def is_installed(package):
    query = ["dpkg-query", "-W", "-f", "${db:Status-Status}", package]
    return subprocess.run(query, check=False, capture_output=True, text=True).stdout == "installed"


def problems(system, systems, public_key):
    """All that stands in the way, each one sentence with its cure."""
    found = []
    if system not in systems:
        found.append(f"{system} is not supported. Cure: rebuild it with one of {', '.join(systems)}.")
    if os.uname().machine not in ARCHITECTURES:
        found.append(f"{os.uname().machine} is not supported. Cure: take one of {', '.join(ARCHITECTURES)}.")
    if os.geteuid() != 0:
        found.append("The login is not root. Cure: let Lazaret log in as root.")
    if not os.path.isdir("/run/systemd/system"):
        found.append("The machine was not booted with systemd. Cure: rebuild it with a supported system.")
    if not os.access("/etc", os.W_OK) or os.statvfs("/").f_flag & os.ST_RDONLY:
        found.append("The root file system is read-only. Cure: check the disk, then remount it or reboot.")
    found.append(free_space_problem("/", LEAST_FREE_MB, LEAST_FREE_INODES))
    found.append(ssh_problem(os.path.expanduser("~"), os.geteuid(), public_key))
    return [problem for problem in found if problem]


def main():
    module = AnsibleModule(
        argument_spec={
            "ssh_public_key": {"type": "str", "default": "", "no_log": False},
            "systems": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    with open("/etc/os-release", encoding="utf-8") as file:
        system = read_os_release(file.read())
    found = problems(system, module.params["systems"], module.params["ssh_public_key"])
    if found:
        module.fail_json(msg=" ".join(found), preflight_failed=True, problems=found)
    module.exit_json(
        changed=False,
        system=system,
        observer=os.environ.get("SSH_CONNECTION", "").split(" ")[0],
        docker_was_active=is_active("docker"),
        fail2ban_was_active=is_active("fail2ban"),
        docker_is_from_docker=is_installed("docker-ce"),
    )


if __name__ == "__main__":
    main()
