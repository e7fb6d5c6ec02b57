#!/usr/bin/python3
"""Ansible module: reads the state of the machine into one report; `ok` is false with reasons when it is unhealthy."""

import json
import os
import shutil
import subprocess
import time

from ansible.module_utils.basic import AnsibleModule

DISK_FULL_PERCENT = 90
INODES_FULL_PERCENT = 90
LEAST_MEMORY_PERCENT = 5
PSEUDO = {"proc", "sysfs", "tmpfs", "devtmpfs", "overlay", "squashfs", "cgroup2", "cgroup", "devpts", "mqueue", "nsfs"}


def run(*command):
    """Exit status and output; a missing program is 127."""
    if shutil.which(command[0]) is None:
        return 127, ""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace", timeout=20)
    except subprocess.TimeoutExpired:
        return 124, ""
    return done.returncode, done.stdout.strip()


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def disks():
    """Usage in percent of each real file system, by mount point; the root is always among them."""
    found, seen = {}, set()
    for line in read("/proc/mounts").splitlines():
        device, mount, kind = line.split(" ")[:3]
        if mount != "/" and (kind in PSEUDO or not device.startswith("/") or device in seen):
            continue
        seen.add(device)
        try:
            stat = os.statvfs(mount)
        except OSError:
            continue
        if stat.f_blocks:
            usable = stat.f_blocks - stat.f_bfree + stat.f_bavail
            found[mount] = {
                "used_percent": round(100 * (stat.f_blocks - stat.f_bfree) / usable, 1) if usable else 100.0,
                "inodes_percent": round(100 * (stat.f_files - stat.f_ffree) / stat.f_files, 1) if stat.f_files else 0.0,
                "available_mb": stat.f_bavail * stat.f_frsize // 1048576,
            }
    return found


def docker():
    """Version, and the containers by state; `running` says whether the daemon answers."""
    code, version = run("docker", "version", "--format", "{{.Server.Version}}")
    if code != 0:
        return {"installed": code != 127, "running": False, "version": "", "containers": {}}
    containers = {}
    for line in run("docker", "ps", "--all", "--format", "{{json .}}")[1].splitlines():
        state = json.loads(line).get("State", "unknown")
        containers[state] = containers.get(state, 0) + 1
    return {"installed": True, "running": True, "version": version, "containers": containers}


def memory():
    fields = dict(line.split(":", 1) for line in read("/proc/meminfo").splitlines() if ":" in line)
    total, available = (int(fields.get(name, "0 kB").split()[0]) // 1024 for name in ("MemTotal", "MemAvailable"))
    return {
        "total_mb": total,
        "available_mb": available,
        "available_percent": round(100 * available / total, 1) if total else 0.0,
    }


def clock():
    """Whether the clock is kept in time; None where the machine cannot tell, as in a container."""
    if run("systemd-detect-virt", "--container", "--quiet")[0] == 0:
        return {"unix_time": time.time(), "synchronized": None}
    code, out = run("timedatectl", "show", "--property=NTPSynchronized", "--value")
    return {"unix_time": time.time(), "synchronized": out == "yes" if code == 0 and out else None}


def firewall():
    """`Status: active` as a whole word: "inactive" must not pass."""
    _, out = run("ufw", "status")
    return {"active": out.splitlines()[:1] == ["Status: active"]}


def failed_units():
    _, out = run("systemctl", "--failed", "--no-legend", "--plain")
    return [line.split()[0] for line in out.splitlines() if line.strip()]


def reasons(report):
    """Why the machine is not healthy, each one clause."""
    found = []
    if not report["docker"]["running"]:
        found.append("Docker does not answer")
    if not report["firewall"]["active"]:
        found.append("the firewall is not active")
    for mount, usage in report["disks"].items():
        if usage["used_percent"] >= DISK_FULL_PERCENT:
            found.append(f"{mount} is {usage['used_percent']} % full")
        if usage["inodes_percent"] >= INODES_FULL_PERCENT:
            found.append(f"{mount} has used {usage['inodes_percent']} % of its inodes")
    if report["memory"]["available_percent"] < LEAST_MEMORY_PERCENT:
        found.append(f"only {report['memory']['available_percent']} % of the memory is available")
    if report["clock"]["synchronized"] is False:
        found.append("the clock is not synchronized")
    return found


def health():
    report = {
        "ssh": {"reachable": True},
        "docker": docker(),
        "disks": disks(),
        "firewall": firewall(),
        "failed_units": failed_units(),
        "memory": memory(),
        "load": [float(value) for value in read("/proc/loadavg").split()[:3]],
        "uptime_s": float((read("/proc/uptime") or "0").split()[0]),
        "boot_id": read("/proc/sys/kernel/random/boot_id"),
        "machine_id": read("/etc/machine-id"),
        "clock": clock(),
        "pending_reboot": os.path.exists("/run/reboot-required"),
        "baseline_version": read("/etc/lazaret/baseline"),
    }
    found = reasons(report)
    return {"ok": not found, "reasons": found, **report}


def main():
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.exit_json(changed=False, report=health())


if __name__ == "__main__":
    main()
