"""Sealed files: bytes under a passphrase that nobody can read, alter, reorder or cut short without being found out.

A header (magic, version, cost and salt of scrypt), then chunks under AES-256-GCM. A chunk's nonce is its number and
whether it is the last, its associated data the header; the first chunk is empty and proves the passphrase. The salt is
new for every file, so that no key ever seals two. Neither side holds more than one chunk. Pure but for the file.
"""

import os
import struct
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import SecretStr

from lazaret.kernel.errors import InvalidInput, Unauthenticated

MAGIC = b"LAZARET SEALED\n"
VERSION = 1
CHUNK = 65536
"""Bytes of clear text in every chunk but the last."""
COST = 17
"""Of scrypt, as the power of two: half a second and 128 MB for one try at a passphrase."""
LEAST_COST, MOST_COST = 10, 20
"""What a file may ask of its reader: 1 GB at most."""

_HEADER = struct.Struct(">15sHB32s")
_TAG = 16


class NotSealed(InvalidInput):
    """The file is not one of ours."""

    code = "not_sealed"


class NewerSeal(InvalidInput):
    """The file is in a format that came after this program."""

    code = "newer_seal"


class WrongPassphrase(Unauthenticated):
    """The passphrase does not open the file."""

    code = "wrong_passphrase"


class BrokenSeal(InvalidInput):
    """The file was altered or cut short since it was written."""

    code = "broken_seal"


class SealedWriter:
    """Seals what is written to it into `file`. Only after `finish` is the file whole."""

    def __init__(self, file: BinaryIO, passphrase: SecretStr, *, cost: int = COST) -> None:
        salt = os.urandom(32)
        self._file = file
        self._header = _HEADER.pack(MAGIC, VERSION, cost, salt)
        self._cipher = _cipher(passphrase, salt, cost)
        self._number = 0
        self._open = bytearray()
        file.write(self._header)
        self._seal(b"", is_last=False)

    def write(self, data: bytes) -> None:
        self._open += data
        whole = max(0, len(self._open) - 1) // CHUNK  # the last chunk is kept back: only `finish` knows that it is that
        for number in range(whole):
            self._seal(bytes(self._open[number * CHUNK : (number + 1) * CHUNK]), is_last=False)
        del self._open[: whole * CHUNK]

    def finish(self) -> None:
        """Seal the last chunk."""
        self._seal(bytes(self._open), is_last=True)
        self._open.clear()

    def _seal(self, clear: bytes, *, is_last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._number, is_last=is_last), clear, self._header))
        self._number += 1


class SealedReader:
    """Reads back what was sealed. Every byte that it returns is proved to be what was written.

    Raises `NotSealed`, `NewerSeal` and `WrongPassphrase` at once, `BrokenSeal` wherever the damage is.
    """

    def __init__(self, file: BinaryIO, passphrase: SecretStr) -> None:
        self._file = file
        self._header = file.read(_HEADER.size)
        if not self._header.startswith(MAGIC):
            raise NotSealed("This is not a backup of Lazaret.", hint="Name a file that `lazaret backup` has made.")
        if len(self._header) < _HEADER.size:
            raise _broken()
        _, version, cost, salt = _HEADER.unpack(self._header)
        if version > VERSION:
            raise NewerSeal(
                f"The file has the format {version}; this Lazaret reads up to {VERSION}.",
                hint="Install the version of Lazaret that made it, or a newer one.",
            )
        if not LEAST_COST <= cost <= MOST_COST:
            raise _broken()
        self._cipher = _cipher(passphrase, salt, cost)
        self._number = 0
        self._open = memoryview(b"")
        self._is_over = False
        self._prove()
        self._ahead = file.read(CHUNK + _TAG)

    def _prove(self) -> None:
        proof = self._file.read(_TAG)
        if len(proof) < _TAG:
            raise _broken()
        try:
            self._unseal(proof, is_last=False)
        except InvalidTag:
            raise WrongPassphrase(
                "The passphrase does not open this file.",
                hint="Give the one with which the backup was made. There is no other way in.",
            ) from None

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes. Raises `BrokenSeal` when there are fewer."""
        parts = []
        while size:
            if not self._open and not self._fill():
                raise _broken()
            part = self._open[:size]
            self._open = self._open[len(part) :]
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def at_end(self) -> bool:
        """Whether all was read."""
        return not self._open and not self._fill()

    def _fill(self) -> bool:
        """The next chunk that is not empty; False after the last."""
        while not self._open and not self._is_over:
            sealed, self._ahead = self._ahead, self._file.read(CHUNK + _TAG)
            self._is_over = not self._ahead
            try:
                self._open = memoryview(self._unseal(sealed, is_last=self._is_over))
            except InvalidTag:
                raise _broken() from None
        return bool(self._open)

    def _unseal(self, sealed: bytes, *, is_last: bool) -> bytes:
        clear = self._cipher.decrypt(_nonce(self._number, is_last=is_last), sealed, self._header)
        self._number += 1
        return clear


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])


def _cipher(passphrase: SecretStr, salt: bytes, cost: int) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, n=1 << cost, r=8, p=1).derive(passphrase.get_secret_value().encode()))


def _broken() -> BrokenSeal:
    return BrokenSeal(
        "The file is damaged: it was altered or cut short since it was written.",
        hint="Copy it again and compare the sizes, or take an older backup.",
    )
