"""The data directory: it can be written, and there is room."""

from lazaret.entrypoints.doctor.finding import Finding, Patient, State
from lazaret.entrypoints.office import ensure_data_dir

LEAST_FREE_MB = 500


async def check_directory(name: str, patient: Patient) -> Finding:
    """Room and permission. Raises `Misconfigured` when it cannot be written."""
    path = patient.settings.lazaret_data_dir
    ensure_data_dir(path)
    free_mb = patient.free_mb(path)
    if free_mb < LEAST_FREE_MB:
        return Finding(
            name,
            State.BROKEN,
            f"{free_mb} MB free at {path}",
            f"Make room, {LEAST_FREE_MB} MB at least, or move LAZARET_DATA_DIR: du -xh -d 1 {path} shows where it is.",
        )
    return Finding(name, State.OK, f"{free_mb} MB free at {path}")
