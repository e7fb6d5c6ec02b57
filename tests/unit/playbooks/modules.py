"""The modules that run on servers, loaded as Ansible loads them: by their file."""

import importlib.util
from types import ModuleType

from lazaret.playbooks import DIRECTORY


def module(name: str) -> ModuleType:
    """A fresh copy of it."""
    spec = importlib.util.spec_from_file_location(name, DIRECTORY / "library" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded
