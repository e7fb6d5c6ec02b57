#!/usr/bin/python3
"""Ansible module: one service under Docker Compose: brought about and proved healthy, stopped, removed, or its logs.

All of a service is under one directory. Its environment file is readable by root alone; nothing of it is ever shown.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

from ansible.module_utils.basic import AnsibleModule

ROOT = "/opt/lazaret/services"
NAME = r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?"
PART = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}"
"""Of a path below the service's directory. Lazaret asks for no other; here is the last place to refuse it, as root."""
LOOK_S = 0.5


class Failed(Exception):
    """One sentence for the operator."""


def check_paths(parameters):
    """Raises `Failed` for a name or a file that is not below ROOT by its very form."""
    if not re.fullmatch(NAME, parameters["name"]):
        raise Failed("The service's name is not one: nothing was done.")
    for path in parameters["files"]:
        if not all(re.fullmatch(PART, part) for part in path.split("/")) or path == "compose.yaml":
            raise Failed("A file's path leaves the service's directory: nothing was done.")


def run(*command, directory=None, timeout_s=600):
    """Exit status, output and complaints."""
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, errors="replace", cwd=directory, timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        return 124, "", f"took longer than {timeout_s} s"
    except OSError as error:
        return 127, "", str(error)
    return done.returncode, done.stdout, done.stderr


def compose(name, *arguments, timeout_s=600):
    """Run `docker compose` for the service. Raises `Failed` with its last lines."""
    directory = f"{ROOT}/{name}"
    # Named, so that neither an override beside it nor a variable brings in another file.
    ours = ("--file", "compose.yaml", "--env-file", ".env", "--project-name", name)
    code, out, err = run("docker", "compose", *ours, *arguments, directory=directory, timeout_s=timeout_s)
    if code != 0:
        told = [line.strip() for line in (err or out).splitlines() if line.strip()][-4:]
        raise Failed(f"docker compose {arguments[0]} failed: {' '.join(told)[:600]}")
    return out


def quoted(value):
    """A value for the environment file, taken literally."""
    return "'" + value.replace("'", "\\'") + "'"


def environment_text(environment, port):
    lines = [f"LAZARET_PORT={port}"]
    lines += [f"{key}={quoted(str(value))}" for key, value in sorted(environment.items())]
    return "".join(f"{line}\n" for line in lines)


def put(path, content, mode):
    """Write unless it is there already; returns whether anything changed."""
    try:
        with open(path, encoding="utf-8") as file:
            if file.read() == content and os.stat(path).st_mode & 0o777 == mode:
                return False
    except (OSError, UnicodeDecodeError):
        pass
    parent = os.path.dirname(path)
    if os.path.realpath(parent) != os.path.realpath(ROOT) + parent[len(ROOT) :]:
        raise Failed("A link leads out of the service's directory: remove it.")
    os.makedirs(parent, mode=0o755, exist_ok=True)
    descriptor = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
    os.chmod(f"{path}.new", mode)
    os.replace(f"{path}.new", path)
    return True


def write_files(parameters):
    """The service's directory as described; what stands there and is not described is taken away."""
    directory = f"{ROOT}/{parameters['name']}"
    wanted = {
        "compose.yaml": (parameters["compose"], 0o644),
        ".env": (environment_text(parameters["environment"], parameters["port"]), 0o600),
        **{path: (content, 0o644) for path, content in parameters["files"].items()},
    }
    changed = False
    for path, (content, mode) in wanted.items():
        changed |= put(f"{directory}/{path}", content, mode)
    for parent, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(parent, name)
            if os.path.relpath(path, directory) not in wanted:
                os.unlink(path)
                changed = True
    return changed


def containers(name):
    """State and health of each container of the service, by name."""
    out = compose(name, "ps", "--all", "--format", "json")
    rows = json.loads(out) if out.lstrip().startswith("[") else [json.loads(line) for line in out.splitlines() if line]
    return {row["Name"]: (row.get("State", ""), row.get("Health", "")) for row in rows}


def unhealthy(name, port, check):
    """Why the service is not well, or an empty string."""
    found = containers(name)
    if not found:
        return "no container was made"
    for container, (state, health) in found.items():
        if state != "running":
            return f"{container} is {state}"
        if health == "unhealthy" or (health == "starting" and check["kind"] == "docker"):
            return f"{container} is {health}"
    if check["kind"] == "tcp":
        return tcp_problem(port)
    if check["kind"] == "http":
        return http_problem(port, check["path"])
    return ""


def tcp_problem(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=3):
            return ""
    except OSError as error:
        return f"port {port} does not answer ({error.strerror or error})"


def http_problem(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5):
            return ""
    except urllib.error.HTTPError as error:
        return f"{path} answers {error.code}"
    except (OSError, ValueError) as error:
        return f"{path} does not answer ({getattr(error, 'reason', error)})"


def wait_until_healthy(name, port, check):
    """Well twice in a row, or `Failed` with the reason and the last lines of the logs."""
    deadline = time.monotonic() + check["timeout_s"]
    good = 0
    while True:
        problem = unhealthy(name, port, check)
        good = 0 if problem else good + 1
        if good > 1:
            return
        if problem and time.monotonic() >= deadline:
            raise Failed(f"{name} is not healthy after {check['timeout_s']:.0f} s: {problem}. {last_words(name)}")
        time.sleep(LOOK_S)


def last_words(name):
    lines = [line for line in logs(name, 5).splitlines() if line.strip()]
    return f"Its last words: {' / '.join(lines)[:400]}" if lines else ""


def logs(name, lines):
    if not os.path.isdir(f"{ROOT}/{name}"):
        raise Failed(f"{name} is not on this server.")
    return compose(name, "logs", "--no-color", "--tail", str(lines), timeout_s=30)[-100_000:]


def deploy(parameters):
    name, port = parameters["name"], parameters["port"]
    changed = write_files(parameters)
    before = {} if changed else containers(name)
    compose(name, "config", "--quiet", timeout_s=30)
    compose(name, "up", "--detach", "--remove-orphans", "--pull", "missing", "--quiet-pull")
    wait_until_healthy(name, port, parameters["health"])
    changed = changed or before.keys() != containers(name).keys() or any(s != "running" for s, _ in before.values())
    return {"changed": changed, "containers": sorted(containers(name))}


def stop(parameters):
    name = parameters["name"]
    if not os.path.isdir(f"{ROOT}/{name}"):
        return {"changed": False}
    was_up = any(state == "running" for state, _ in containers(name).values())
    if was_up:
        compose(name, "stop", timeout_s=120)
    return {"changed": was_up}


def remove(parameters):
    """Containers, networks, named volumes and files."""
    name = parameters["name"]
    directory = f"{ROOT}/{name}"
    if not os.path.isdir(directory):
        return {"changed": False}
    compose(name, "down", "--volumes", "--remove-orphans", timeout_s=180)
    shutil.rmtree(directory)
    return {"changed": True}


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"choices": ["deployed", "stopped", "removed", "logs"], "required": True},
            "compose": {"type": "str", "default": ""},
            "environment": {"type": "dict", "default": {}, "no_log": True},
            "files": {"type": "dict", "default": {}, "no_log": True},
            "port": {"type": "int", "default": 0},
            "health": {"type": "dict", "default": {"kind": "docker", "timeout_s": 60}},
            "lines": {"type": "int", "default": 200},
        }
    )
    parameters = module.params
    actions = {
        "deployed": lambda: deploy(parameters),
        "stopped": lambda: stop(parameters),
        "removed": lambda: remove(parameters),
        "logs": lambda: {"changed": False, "report": {"logs": logs(parameters["name"], parameters["lines"])}},
    }
    try:
        check_paths(parameters)
        module.exit_json(**actions[parameters["state"]]())
    except Failed as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
