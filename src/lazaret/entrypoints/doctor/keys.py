"""The two keys: the one that reads what is stored, and the one that opens the servers. None is made here."""

import os
from pathlib import Path
from typing import TypeVar

from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import Select, select
from sqlalchemy.exc import ProgrammingError

from lazaret.entrypoints.doctor.finding import Finding, Patient, State
from lazaret.kernel.secrets import StoredSecret, key_path
from lazaret.servers.model import Server

T = TypeVar("T")
OPENED_BY_US = Server.provisioned_at.is_not(None) & Server.is_managed


async def check_master_key(name: str, patient: Patient) -> Finding:
    """Every stored secret can be read with it, and nobody else can read it."""
    configured, path = patient.settings.lazaret_secret_key, key_path(patient.settings.lazaret_data_dir)
    stored = await _rows(patient, select(StoredSecret.ciphertext))
    if configured is None and not path.exists():
        if not stored:
            return Finding(name, State.MISSING, "none yet", "Start Lazaret: `lazaret up` makes one.")
        return Finding(name, State.BROKEN, f"{path} is gone, and {len(stored)} secrets need it", _bring_back(path))
    if configured is None and (loose := _too_open(name, path)) is not None:
        return loose
    text = configured.get_secret_value() if configured is not None else path.read_text(encoding="ascii").strip()
    try:
        cipher = Fernet(text)
    except (ValueError, TypeError):
        what = "LAZARET_SECRET_KEY" if configured is not None else str(path)
        return Finding(name, State.BROKEN, f"{what} holds no key", _bring_back(path))
    unread = sum(not _opens(cipher, one) for one in stored)
    if unread:
        what = f"{unread} of {len(stored)} stored secrets cannot be read with the present key"
        return Finding(name, State.BROKEN, what, _bring_back(path))
    return Finding(name, State.OK, f"reads all {len(stored)} stored secrets")


async def check_access_key(name: str, patient: Patient) -> Finding:
    """It is there while servers wait to be opened by it, and ssh will take it. Raises `Misconfigured`."""
    from lazaret.adapters.ssh.access_key import access_key_of, access_key_path  # noqa: PLC0415 - heavy

    settings = patient.settings
    path = access_key_path(settings.lazaret_data_dir)
    if settings.orchestrator_ssh_private_key_path is None and not path.exists():
        opened = await _rows(patient, select(Server.handle).where(OPENED_BY_US))
        if not opened:
            return Finding(name, State.MISSING, "none yet", "Start Lazaret: `lazaret up` makes one.")
        cure = (
            f"Put back {path} from your backup. Is there none: start Lazaret, which makes a new one, and "
            "`lazaret provision HANDLE` for each server; data stays."
        )
        return Finding(name, State.BROKEN, f"{path} is gone, and {len(opened)} servers open by it alone", cure)
    key = access_key_of(settings)
    return _too_open(name, key.private_key) or Finding(name, State.OK, key.public_key, is_to_copy=True)


def _too_open(name: str, path: Path) -> Finding | None:
    """A key that others may read; OpenSSH does not take one either."""
    found = path.stat()
    if found.st_mode & 0o077:
        return Finding(name, State.BROKEN, f"others may read {path}", f"chmod 600 {path}")
    if found.st_uid not in {0, os.geteuid()} and os.geteuid() != 0:
        return Finding(name, State.BROKEN, f"{path} belongs to another user", f"chown {os.geteuid()} {path}")
    return None


def _bring_back(path: Path) -> str:
    return (
        f"Put back the key with which they were stored, from your backup: {path.name} in {path.parent}, or "
        "LAZARET_SECRET_KEY. Is it lost, root passwords and the contents of deployments must be given again."
    )


def _opens(cipher: Fernet, ciphertext: bytes) -> bool:
    try:
        cipher.decrypt(ciphertext)
    except InvalidToken:
        return False
    return True


async def _rows(patient: Patient, statement: Select[T]) -> list[T]:
    """What a table holds: nothing, while it is not there yet."""
    if patient.is_new:
        return []
    try:
        async with patient.db.transaction() as session:
            return list(await session.scalars(statement))
    except ProgrammingError:
        return []
