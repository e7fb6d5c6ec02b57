"""Secrets: the key that encrypts them, the table that keeps them, and the filter that keeps them out of texts.

A secret is stored before it is used and forgotten once it is no longer needed. Nothing here logs a value.
"""

import html
import json
import os
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryptography.fernet import Fernet, InvalidToken
from pydantic import SecretStr
from sqlalchemy import LargeBinary, UniqueConstraint, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from lazaret.kernel.database import Base
from lazaret.kernel.errors import Misconfigured
from lazaret.kernel.texts import storable


class StoredSecret(Base):
    """One encrypted value. `owner` is what it belongs to (`server:vps-1`), `kind` what it is (`root_password`)."""

    __tablename__ = "secrets"
    __table_args__ = (UniqueConstraint("owner", "kind"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str]
    kind: Mapped[str]
    ciphertext: Mapped[bytes] = mapped_column(LargeBinary)
    stored_at: Mapped[datetime]


class SecretStore:
    """Encrypts, keeps and returns secrets. Every value that passes through is also hidden from logs and events."""

    def __init__(self, key: SecretStr, redactor: "Redactor") -> None:
        try:
            self._cipher = Fernet(key.get_secret_value())
        except (ValueError, TypeError):
            raise Misconfigured(
                "LAZARET_SECRET_KEY is not a key.",
                hint="It is 32 random bytes in URL-safe base64: openssl rand -base64 32 | tr '+/' '-_'",
            ) from None
        self._redactor = redactor

    async def put(self, session: AsyncSession, owner: str, kind: str, value: SecretStr, *, at: datetime) -> None:
        """Store or replace the secret."""
        self._redactor.hide(value)
        ciphertext = self._cipher.encrypt(value.get_secret_value().encode())
        statement = insert(StoredSecret).values(owner=owner, kind=kind, ciphertext=ciphertext, stored_at=at)
        await session.execute(
            statement.on_conflict_do_update(
                index_elements=["owner", "kind"], set_={"ciphertext": ciphertext, "stored_at": at}
            )
        )

    async def get(self, session: AsyncSession, owner: str, kind: str) -> SecretStr | None:
        """The secret, or None. Raises `Misconfigured` when it was stored under another key."""
        ciphertext = await session.scalar(
            select(StoredSecret.ciphertext).where(StoredSecret.owner == owner, StoredSecret.kind == kind)
        )
        if ciphertext is None:
            return None
        try:
            value = SecretStr(self._cipher.decrypt(ciphertext).decode())
        except InvalidToken:
            raise Misconfigured(
                "A stored secret cannot be read with the present LAZARET_SECRET_KEY.",
                hint="Put back the key with which it was stored (by default secret.key in the data directory).",
            ) from None
        self._redactor.hide(value)
        return value

    async def forget(self, session: AsyncSession, owner: str, kind: str) -> bool:
        """Delete the secret; whether there was one."""
        statement = delete(StoredSecret).where(StoredSecret.owner == owner, StoredSecret.kind == kind)
        return await session.scalar(statement.returning(StoredSecret.id)) is not None


class Redactor:
    """Replaces every secret that this process has seen, wherever it would appear in a text.

    What a machine says goes through here before it is kept, so that what no table can hold is replaced here as well.
    """

    SHORTEST = 5
    """Shorter values are not hidden: they would blank out ordinary words."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def hide(self, value: SecretStr) -> None:
        """From now on this value is never shown."""
        text = value.get_secret_value()
        if len(text) >= self.SHORTEST and text not in self._values:
            for kept in {text, storable(text)}:
                self._values.update(_spellings(kept))
            longest_first = sorted(self._values, key=len, reverse=True)
            self._pattern = re.compile("|".join(re.escape(known) for known in longest_first))

    def clean(self, text: str) -> str:
        """`text` with `[hidden]` in place of each secret, and such that a table can hold it."""
        text = storable(text)  # first: what it makes of a text may be a secret
        return self._pattern.sub("[hidden]", text) if self._pattern else text

    def clean_value(self, value: Any) -> Any:
        """Plain JSON with every text in it cleaned; what is not JSON becomes the cleaned text that shows it."""
        match value:
            case str():
                return self.clean(value)
            case None | bool() | int() | float():
                return value
            case Mapping():
                return {self.clean(str(key)): self.clean_value(inner) for key, inner in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self.clean_value(inner) for inner in value]
        return self.clean(repr(value))


def _spellings(text: str) -> set[str]:
    """A secret as it stands in HTML, in JSON, in a Python literal and in a URL."""
    quoted = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1]}
    return {text, html.escape(text), html.escape(text, quote=False), quote(text, safe=""), *quoted}


def load_or_create_key(configured: SecretStr | None, data_dir: Path) -> SecretStr:
    """The key from the settings, else the one in the data directory, made on first use with mode 0600."""
    if configured is not None:
        return configured
    path = key_path(data_dir)
    if not path.exists():
        write_private(path, Fernet.generate_key())
    return SecretStr(path.read_text(encoding="ascii").strip())


def key_path(data_dir: Path) -> Path:
    """Where the key is that was made here."""
    return data_dir / "secret.key"


def write_private(path: Path, content: bytes) -> None:
    """Create `path` for our eyes only; two processes that race leave one whole file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
