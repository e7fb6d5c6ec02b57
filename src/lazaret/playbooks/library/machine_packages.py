#!/usr/bin/python3
"""Ansible module: one apt transaction that upgrades and installs; waits for other package managers, kills none."""

import fcntl
import hashlib
import os
import shutil
import struct
import subprocess
import tempfile
import time
import urllib.request

from ansible.module_utils.basic import AnsibleModule

LOCKS = ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock", "/var/cache/apt/archives/lock")
LISTS = "/var/lib/apt/lists"
LISTS_FRESH_S = 3600
UPDATES = "/var/lib/dpkg/updates"
PHASE_FILE = "/run/lazaret/packages"
KEYRING = "/etc/apt/keyrings/lazaret-docker.asc"
SOURCE = "/etc/apt/sources.list.d/lazaret-docker.list"
ENVIRONMENT = {
    "DEBIAN_FRONTEND": "noninteractive",
    "APT_LISTCHANGES_FRONTEND": "none",
    "NEEDRESTART_MODE": "a",
    "LC_ALL": "C.UTF-8",
}
OPTIONS = (
    "-y",
    "-q",
    "--no-install-recommends",
    "-o",
    "Dpkg::Options::=--force-confdef",
    "-o",
    "Dpkg::Options::=--force-confold",
)


class Failed(Exception):
    """One sentence for the operator."""


def lock_holder(path):
    """Which process holds this lock, as "name (pid)", else an empty string. Only asks: takes no lock itself.

    apt and dpkg use POSIX record locks, so the kernel knows whose they are.
    """
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return ""
    try:
        asked = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack("hhqqi", fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    finally:
        os.close(descriptor)
    return "" if kind == fcntl.F_UNLCK else f"{name_of(pid)} ({pid})"


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "a process"


def tell(phase):
    """Leave word of what is being done, for whoever waits for us."""
    os.makedirs(os.path.dirname(PHASE_FILE), exist_ok=True)
    with open(f"{PHASE_FILE}.new", "w", encoding="utf-8") as file:
        file.write(phase)
    os.replace(f"{PHASE_FILE}.new", PHASE_FILE)


def wait_for_cloud_init(timeout_s):
    """The first boot may still be at work on packages and keys."""
    if not shutil.which("cloud-init"):
        return
    tell("waiting for cloud-init")
    try:
        subprocess.run(["cloud-init", "status", "--wait"], check=False, timeout=timeout_s, stdout=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise Failed(f"cloud-init has not finished for {timeout_s} s. Cure: cloud-init status --long") from None


def wait_for_locks(timeout_s):
    """Wait until nobody else works on packages; returns the seconds waited."""
    started = time.monotonic()
    while holder := next(filter(None, map(lock_holder, LOCKS)), ""):
        if time.monotonic() - started > timeout_s:
            raise Failed(f"{holder} has held the package lock for {timeout_s} s. Cure: wait for it, or see ps aux")
        tell(f"waiting for {holder} to release the package lock")
        time.sleep(0.5)
    return time.monotonic() - started


def mend_interrupted():
    """A machine that lost power during an installation refuses every other one until this was done."""
    if os.path.isdir(UPDATES) and os.listdir(UPDATES):
        tell("finishing an installation that was interrupted")
        command = ["dpkg", "--force-confdef", "--force-confold", "--configure", "-a"]
        subprocess.run(command, check=False, capture_output=True, env={**os.environ, **ENVIRONMENT})


def apt(*arguments):
    """Run apt-get; its last lines stand in the error."""
    command = ["apt-get", *OPTIONS, "-o", "DPkg::Lock::Timeout=120", *arguments]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, errors="replace", env={**os.environ, **ENVIRONMENT}
    )
    if done.returncode != 0:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        told = [line for line in lines if line.startswith(("E:", "Err:", "dpkg: error"))] or lines[-5:]
        raise Failed(f"apt-get {arguments[0]} failed: {' '.join(told)[:800]}")
    return done.stdout


def status_digest():
    """Changes whenever any package changes."""
    with open("/var/lib/dpkg/status", "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def missing(packages):
    """Which of the packages are not installed."""
    query = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\\n", *packages]
    done = subprocess.run(query, check=False, capture_output=True, text=True)
    installed = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in installed]


def lists_age_s():
    """Seconds since the package lists were read."""
    try:
        return time.time() - max(
            entry.stat().st_mtime for entry in os.scandir(LISTS) if entry.name.endswith(("Release", "_Packages"))
        )
    except (OSError, ValueError):
        return float("inf")


def add_repository(repository):
    """Docker's own repository with its key pinned by fingerprint; returns whether anything changed."""
    line = f"deb [signed-by={KEYRING}] {repository['url']} {repository['suite']} {repository['components']}\n"
    if os.path.exists(KEYRING) and os.path.exists(SOURCE):
        with open(SOURCE, encoding="utf-8") as file:
            if file.read() == line:
                return False
    key = fetch(repository["key_url"])
    wanted = repository["key_fingerprint"].replace(" ", "").upper()
    if wanted not in fingerprints(key):
        raise Failed(f"The key at {repository['key_url']} is not the expected one; the repository was not added.")
    os.makedirs(os.path.dirname(KEYRING), exist_ok=True)
    for path, content in ((KEYRING, key), (SOURCE, line.encode())):
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, 0o644)
    return True


def fetch(url):
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read(1048576)
    except (OSError, ValueError) as error:
        raise Failed(f"{url} could not be fetched ({error}). Cure: let the machine reach it.") from None


def fingerprints(key):
    """Fingerprints of the keys in an armoured block."""
    if missing(["gpg"]):
        apt("update")
        apt("install", "gpg")
    with tempfile.TemporaryDirectory() as home:
        command = ["gpg", "--homedir", home, "--batch", "--with-colons", "--show-keys"]
        done = subprocess.run(command, input=key, check=False, capture_output=True)
    return {line.split(":")[9] for line in done.stdout.decode(errors="replace").splitlines() if line.startswith("fpr:")}


def converge(parameters):
    """Returns what was done, as the module's result."""
    wait_for_cloud_init(parameters["lock_timeout_s"])
    waited_s = wait_for_locks(parameters["lock_timeout_s"])
    mend_interrupted()
    before = status_digest()
    added = bool(parameters["repository"]) and add_repository(parameters["repository"])
    absent = missing(parameters["packages"])
    if added or absent or lists_age_s() > LISTS_FRESH_S:
        tell("reading the package lists")
        apt("update")
    tell(f"upgrading, and installing {len(absent)} packages and what they need")
    if parameters["upgrade"]:
        apt("upgrade", "--with-new-pkgs", "--no-remove", *absent)
    elif absent:
        apt("install", *absent)
    still = missing(parameters["packages"])
    if still:
        raise Failed(f"These packages could not be installed: {', '.join(still)}.")
    return {
        "changed": added or status_digest() != before,
        "installed": absent,
        "waited_for_locks_s": round(waited_s, 1),
    }


def main():
    module = AnsibleModule(
        argument_spec={
            "packages": {"type": "list", "elements": "str", "required": True},
            "repository": {"type": "dict", "default": {}},
            "upgrade": {"type": "bool", "default": True},
            "lock_timeout_s": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=bool(missing(module.params["packages"])))
    try:
        module.exit_json(**converge(module.params))
    except Failed as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
