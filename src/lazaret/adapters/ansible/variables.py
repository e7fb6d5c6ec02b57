"""The operator's own playbook variables, from the YAML file that PROVISIONING_VARS_FILE names."""

from pathlib import Path
from typing import Any

import yaml

from lazaret.kernel.errors import Misconfigured

RESERVED = frozenset({"ssh_public_key", "server_handle", "baseline_version"})
"""Lazaret fills these in; a file that sets them would lock it out or lie."""


def load_variables(path: Path | None) -> dict[str, Any]:
    """The variables, empty without a file. Raises `Misconfigured`."""
    if path is None:
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Misconfigured(
            f"PROVISIONING_VARS_FILE cannot be read: {type(error).__name__}.",
            hint=f"{path} must be a readable YAML file; see vars/defaults.yml for what can be set.",
        ) from None
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise Misconfigured("PROVISIONING_VARS_FILE is not a mapping of names to values.", hint=f"Mend {path}.")
    taken = sorted(RESERVED & content.keys())
    if taken:
        raise Misconfigured(
            f"PROVISIONING_VARS_FILE sets {', '.join(taken)}, which Lazaret fills in.", hint=f"Remove it from {path}."
        )
    return content
