"""The data directory: it can be written, and there is room."""

import os
from pathlib import Path

from lazaret.entrypoints.doctor.finding import START, Finding, Patient, State
from lazaret.entrypoints.office import unwritable

LEAST_FREE_MB = 500


async def check_directory(name: str, patient: Patient) -> Finding:
    """Room and permission, there or where it will be made. Raises `Misconfigured` when it cannot be written."""
    path = patient.settings.lazaret_data_dir
    there = _nearest(path)
    if not there.is_dir():
        raise unwritable(path, f"{there} is no directory")
    if not os.access(there, os.W_OK | os.X_OK):
        raise unwritable(path, f"{there} is not writable" if there != path else "Permission denied")
    free_mb = patient.free_mb(there)
    if free_mb < LEAST_FREE_MB:
        return Finding(
            name,
            State.BROKEN,
            f"{free_mb} MB free at {there}",
            f"Make room, {LEAST_FREE_MB} MB at least, or move LAZARET_DATA_DIR: du -xh -d 1 {there} shows where it is.",
        )
    if there != path:
        return Finding(name, State.MISSING, f"{path} is not there yet, {free_mb} MB free at {there}", START)
    return Finding(name, State.OK, f"{free_mb} MB free at {path}")


def _nearest(path: Path) -> Path:
    """What is there of a path: itself, or the lowest directory above it."""
    return next((one for one in (path, *path.absolute().parents) if os.path.lexists(one)), Path("/"))
