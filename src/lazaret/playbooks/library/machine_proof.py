#!/usr/bin/python3
"""Ansible module: proves by effect that the machine is what it should be, and marks it with the baseline's version."""

import concurrent.futures
import os
import re
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time

from ansible.module_utils.basic import AnsibleModule

BASELINE_FILE = "/etc/lazaret/baseline"
TOOLS = ("curl", "git", "htop", "vim")
STATIC_BINARIES = ("/usr/bin/docker-init", "/usr/libexec/docker/docker-init", "/usr/bin/tini-static", "/usr/bin/tini")
IMAGE = "lazaret-proof:latest"


def run(*command):
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace", timeout=60)
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def sshd(_):
    _, out, err = run("sshd", "-T")
    effective = dict(line.split(" ", 1) for line in out.splitlines() if " " in line)
    report = {
        key: effective.get(key)
        for key in ("passwordauthentication", "kbdinteractiveauthentication", "permitrootlogin", "pubkeyauthentication")
    }
    right = (
        report["passwordauthentication"] == report["kbdinteractiveauthentication"] == "no"
        and report["permitrootlogin"] in ("without-password", "prohibit-password")
        and report["pubkeyauthentication"] == "yes"
    )
    return report, "" if right else f"sshd still accepts passwords ({err or report})"


def firewall(parameters):
    _, out, err = run("ufw", "status", "verbose")
    allowed = {
        int(port)
        for line in out.splitlines()
        if "ALLOW" in line
        for port in re.findall(r"\d+", line.split("/")[0].split("(")[0])
    }
    docker_rules = [run(tool, "-S", "DOCKER-USER")[1] for tool in ("iptables", "ip6tables")]
    report = {
        "active": out.splitlines()[:1] == ["Status: active"],
        "denies_by_default": "Default: deny (incoming)" in out,
        "drops": all("-P INPUT DROP" in run(tool, "-S", "INPUT")[1] for tool in ("iptables", "ip6tables")),
        "allowed": sorted(allowed),
        "covers_docker": all("-j DROP" in rules for rules in docker_rules),
    }
    missing = set(parameters["allowed_tcp_ports"]) - allowed
    if missing or not all(report[name] for name in ("active", "denies_by_default", "drops", "covers_docker")):
        return report, f"the firewall is not as it should be ({report} {err})"
    return report, ""


def docker(_):
    code, version, err = run("docker", "version", "--format", "{{.Server.Version}}")
    compose_code, compose, compose_err = run("docker", "compose", "version", "--short")
    report = {"version": version, "compose": compose}
    if code != 0:
        return report, f"Docker does not answer ({err[:200]})"
    if compose_code != 0 or int(re.match(r"v?(\d+)", compose)[1]) < 2:
        return report, f"Compose v2 is missing ({compose or compose_err[:200]})"
    problem = container_problem()
    return {**report, "container_ran": not problem}, problem


def container_problem():
    """Runs a container from an image made of one static program that is here already: no registry is needed."""
    binary = next((path for path in STATIC_BINARIES if is_static(path)), None)
    if binary is None:
        return "no static program was found to run in a container"
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            archive.add(os.path.realpath(binary), arcname="proof")
        file.flush()
        code, _, err = run("docker", "import", file.name, IMAGE)
    if code == 0:
        code, _, err = run("docker", "run", "--rm", "--network=none", "--entrypoint=/proof", IMAGE, "--version")
    run("docker", "image", "rm", IMAGE)
    return f"a container does not run ({err[:200]})" if code != 0 else ""


def is_static(path):
    """Whether this is a program that needs no library: it names no interpreter."""
    try:
        with open(os.path.realpath(path), "rb") as file:
            head = file.read(4096)
    except OSError:
        return False
    return head.startswith(b"\x7fELF") and b"/ld-linux" not in head and b"/ld-musl" not in head


def identity(parameters):
    report = {"hostname": socket.gethostname(), "timezone": os.path.realpath("/etc/localtime").split("zoneinfo/")[-1]}
    problems = []
    if report["hostname"] != parameters["hostname"]:
        problems.append(f"the host name is {report['hostname']}")
    if os.path.realpath("/etc/localtime") != os.path.realpath(f"/usr/share/zoneinfo/{parameters['timezone']}"):
        problems.append(f"the time zone is {report['timezone']}")
    return report, "; ".join(problems)


def fail2ban(_):
    for _try in range(20):
        code, out, err = run("fail2ban-client", "status", "sshd")
        if code == 0:
            return {"sshd": True}, ""
        time.sleep(0.25)
    return {"sshd": False}, f"fail2ban does not guard sshd ({(err or out)[:200]})"


def tools(_):
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return {"missing": missing}, f"missing: {', '.join(missing)}" if missing else ""


CHECKS = {
    "sshd": sshd,
    "firewall": firewall,
    "docker": docker,
    "identity": identity,
    "fail2ban": fail2ban,
    "tools": tools,
}


def mark(version):
    """The baseline's version, as the last thing; returns whether it is new here."""
    try:
        with open(BASELINE_FILE, encoding="utf-8") as file:
            if file.read().strip() == version:
                return False
    except OSError:
        os.makedirs(os.path.dirname(BASELINE_FILE), exist_ok=True)
    with open(f"{BASELINE_FILE}.new", "w", encoding="utf-8") as file:
        file.write(f"{version}\n")
    os.replace(f"{BASELINE_FILE}.new", BASELINE_FILE)
    return True


def main():
    module = AnsibleModule(
        argument_spec={
            "hostname": {"type": "str", "required": True},
            "timezone": {"type": "str", "required": True},
            "allowed_tcp_ports": {"type": "list", "elements": "int", "required": True},
            "baseline_version": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = dict(zip(CHECKS, pool.map(lambda check: check(module.params), CHECKS.values())))
    report = {name: found for name, (found, _) in results.items()}
    report["pending_reboot"] = os.path.exists("/run/reboot-required")
    report["baseline_version"] = module.params["baseline_version"]
    problems = [problem for _, problem in results.values() if problem]
    if problems:
        module.fail_json(msg="; ".join(problems), report=report)
    changed = False if module.check_mode else mark(module.params["baseline_version"])
    module.exit_json(changed=changed, report=report)


if __name__ == "__main__":
    main()
