#!/usr/bin/python3
"""Ansible module: waits on the machine itself for an asynchronous job, and says what it is at.

Asking from afar costs a connection and a process each time, on a machine that is busy with just that job.
"""

import json
import time

from ansible.module_utils.basic import AnsibleModule

LOOK_S = 0.1
WAITS_FOR_OTHERS = "waiting"
OURS = ("changed", "failed", "msg", "installed", "waited_for_locks_s")


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def result_of(text):
    """The job's result once it has one, else None; it is written in one go, but may be read half."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) and ("finished" not in found or found["finished"]) else None


def is_over(text):
    """Whether this is a result: `started` alone is the wrapper's first note."""
    found = result_of(text)
    return found is not None and ("changed" in found or "failed" in found)


def patience(phase, patience_s):
    """Who waits for somebody else says so sooner: a person may want to know whom."""
    return min(3, patience_s) if phase.startswith(WAITS_FOR_OTHERS) else patience_s


def main():
    module = AnsibleModule(
        argument_spec={
            "results_file": {"type": "path", "required": True},
            "phase_file": {"type": "path", "required": True},
            "patience_s": {"type": "int", "default": 10},
        },
        supports_check_mode=True,
    )
    results_file, phase_file = module.params["results_file"], module.params["phase_file"]
    begun = time.monotonic()
    while not is_over(read(results_file)):
        phase = read(phase_file)
        if time.monotonic() - begun > patience(phase, module.params["patience_s"]):
            module.exit_json(changed=False, finished=False, phase=phase)
        time.sleep(LOOK_S)
    found = {key: value for key, value in result_of(read(results_file)).items() if key in OURS}
    if found.get("failed"):
        module.fail_json(**{"msg": "the job failed without saying why", **found, "finished": True})
    module.exit_json(**{"changed": False, **found, "finished": True, "phase": ""})


if __name__ == "__main__":
    main()
