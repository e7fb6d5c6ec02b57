#!/usr/bin/python3
"""Ansible module: host name, time zone, access key and small files in one round trip; says which parts changed."""

import os
import socket

from ansible.module_utils.basic import AnsibleModule


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def put(module, path, content, mode=0o644):
    """Write `path` whole and at once; returns whether it differed."""
    if read(path) == content and os.stat(path).st_mode & 0o7777 == mode:
        return False
    if not module.check_mode:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        draft = f"{path}.lazaret"
        with open(draft, "w", encoding="utf-8") as file:
            file.write(content)
        os.chmod(draft, mode)
        os.replace(draft, path)
    return True


def hosts_with(text, hostname):
    """/etc/hosts with 127.0.1.1 naming this machine."""
    line = f"127.0.1.1\t{hostname} {hostname.split('.')[0]}" if "." in hostname else f"127.0.1.1\t{hostname}"
    others = [other for other in text.splitlines() if not other.startswith("127.0.1.1")]
    head = [other for other in others if other.startswith("127.0.0.1")][:1] or ["127.0.0.1\tlocalhost"]
    rest = [other for other in others if other not in head]
    return "\n".join([*head, line, *rest]).rstrip("\n") + "\n"


CLOUD_INIT = "/etc/cloud/cloud.cfg.d"
CLOUD_INIT_CONTENT = """# Written by Lazaret: the host name and /etc/hosts stay what they are.
preserve_hostname: true
manage_etc_hosts: false
"""


def set_hostname(module, hostname):
    """The name in the files and in the kernel. Written directly: hostnamectl waits for a bus that may be missing."""
    changed = put(module, "/etc/hostname", f"{hostname}\n")
    changed |= put(module, "/etc/hosts", hosts_with(read("/etc/hosts") or "", hostname))
    if os.path.isdir(CLOUD_INIT):
        changed |= put(module, f"{CLOUD_INIT}/99-lazaret.cfg", CLOUD_INIT_CONTENT)
    if socket.gethostname() != hostname:
        changed = True
        if not module.check_mode:
            socket.sethostname(hostname)
    return changed


def set_timezone(module, timezone):
    """The link that libc reads and the name that Debian's tools read."""
    zone = f"/usr/share/zoneinfo/{timezone}"
    if not os.path.exists(zone) and timezone not in ("Etc/UTC", "UTC"):
        module.fail_json(msg=f"There is no time zone {timezone}. Cure: a name from /usr/share/zoneinfo.")
    changed = put(module, "/etc/timezone", f"{timezone}\n")
    if not os.path.islink("/etc/localtime") or os.readlink("/etc/localtime") != zone:
        changed = True
        if not module.check_mode:
            draft = "/etc/localtime.lazaret"
            if os.path.lexists(draft):
                os.unlink(draft)
            os.symlink(zone, draft)
            os.replace(draft, "/etc/localtime")
    return changed


def add_key(module, public_key):
    """Our key stands in authorized_keys; other keys stay."""
    path = os.path.expanduser("~/.ssh/authorized_keys")
    text = read(path) or ""
    material = " ".join(public_key.split()[:2])
    if not material or any(line.startswith(material) for line in text.splitlines()):
        return False
    text += "" if not text or text.endswith("\n") else "\n"
    if not module.check_mode:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    return put(module, path, f"{text}{public_key.strip()}\n", 0o600)


def part_of(path):
    """The service to which a file belongs: the first directory below /etc."""
    pieces = path.split("/")
    return pieces[2] if len(pieces) > 3 and pieces[1] == "etc" else path


def main():
    module = AnsibleModule(
        argument_spec={
            "hostname": {"type": "str", "required": True},
            "timezone": {"type": "str", "required": True},
            "ssh_public_key": {"type": "str", "default": "", "no_log": False},
            "files": {"type": "list", "elements": "dict", "default": []},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    changed = {
        "hostname": set_hostname(module, parameters["hostname"]),
        "timezone": set_timezone(module, parameters["timezone"]),
        "ssh_public_key": add_key(module, parameters["ssh_public_key"]),
    }
    for file in parameters["files"]:
        differed = put(module, file["path"], file["content"].rstrip("\n") + "\n", int(str(file.get("mode", "644")), 8))
        part = part_of(file["path"])
        changed[part] = changed.get(part, False) or differed
    parts = sorted(part for part, differed in changed.items() if differed)
    module.exit_json(changed=bool(parts), parts=parts)


if __name__ == "__main__":
    main()
