"""Ansible data: playbooks, modules, templates, variables. Nothing here is imported by Lazaret but this page."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).parent
"""Where the playbooks lie; also when installed from a wheel."""

_PARTS = ("*.yml", "*.cfg", "library/*.py", "templates/*", "vars/*.yml", "roles/**/*")


def playbook_names() -> list[str]:
    """The playbooks that there are, without `.yml`."""
    return sorted(path.stem for path in DIRECTORY.glob("*.yml"))


def baseline_version(variables: Mapping[str, Any]) -> str:
    """The version of what `provision_server` brings about with these variables: twelve hexadecimal digits.

    A host that carries it needs no converging. The operator's own roles count with their content.
    """
    digest = hashlib.sha256(json.dumps(variables, sort_keys=True, default=str).encode())
    for path in _own_role_files(variables):
        digest.update(f"{path}\0".encode())
        digest.update(path.read_bytes())
    for pattern in _PARTS:
        for path in sorted(DIRECTORY.glob(pattern)):
            if path.is_file() and path.name != "health_check.yml":
                digest.update(f"{path.relative_to(DIRECTORY)}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _own_role_files(variables: Mapping[str, Any]) -> list[Path]:
    roles_path = variables.get("provision_roles_path")
    if not isinstance(roles_path, str) or not roles_path:
        return []
    roles = [Path(roles_path) / str(role) for role in variables.get("provision_extra_roles") or ()]
    return sorted(path for role in roles for path in role.rglob("*") if path.is_file())
