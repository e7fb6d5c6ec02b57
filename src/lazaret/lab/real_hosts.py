"""Whether this machine can boot real hosts, and the rack that does. The one place that knows of systemd-nspawn."""

import importlib
import importlib.util
from pathlib import Path
from typing import cast

from lazaret.kernel.errors import Misconfigured
from lazaret.lab.rack import Rack

_RACK_MODULE = "lazaret.lab.nspawn_rack"
_REQUIREMENTS_MODULE = "lazaret.lab.requirements"


def missing_for_real_hosts() -> list[str]:
    """What this machine lacks, each as a sentence; empty when real hosts can be booted."""
    if importlib.util.find_spec(_RACK_MODULE) is None or importlib.util.find_spec(_REQUIREMENTS_MODULE) is None:
        return ["this installation has no real hosts"]
    return list(importlib.import_module(_REQUIREMENTS_MODULE).missing_requirements())


def real_rack(name: str, directory: Path | None) -> Rack:
    """A rack of nspawn hosts; `directory` keeps their disks and process ids. Raises `Misconfigured`."""
    if missing := missing_for_real_hosts():
        raise Misconfigured(f"Real hosts are not possible here: {'; '.join(missing)}.", hint="Use simulated hosts.")
    return cast("Rack", importlib.import_module(_RACK_MODULE).NspawnRack(name=name, directory=directory))
