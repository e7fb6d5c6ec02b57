"""What stands inside a backup's seal: a head, then each table with its rows in PostgreSQL's text form, then an end.

Every frame is a kind, a length and that many bytes, compressed. Reads and writes one block at a time.
"""

import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

from lazaret.kernel.sealed import BrokenSeal, SealedReader, SealedWriter

BLOCK = 262144
"""Rows are gathered to blocks of so many bytes before they are compressed."""
_FRAME = struct.Struct(">cI")


class Kind(Enum):
    """What a frame holds."""

    HEAD = b"H"
    """JSON: when and where it was made, of which schema, the keys, the settings."""
    TABLE = b"T"
    """JSON: the name and the columns of the rows that follow."""
    ROWS = b"R"
    """Part of a table's rows."""
    END = b"E"
    """JSON: the number of rows by table. Nothing comes after it."""


class ArchiveWriter:
    """Writes the frames in their order: one head, the tables, one end."""

    def __init__(self, sealed: SealedWriter, head: Mapping[str, Any]) -> None:
        self._sealed = sealed
        self._gathered: list[bytes] = []
        self._size = 0
        self._frame(Kind.HEAD, json.dumps(head).encode())

    def begin_table(self, name: str, columns: Sequence[str]) -> None:
        self._flush()
        self._frame(Kind.TABLE, json.dumps({"name": name, "columns": list(columns)}).encode())

    def rows(self, data: bytes) -> None:
        self._gathered.append(data)
        self._size += len(data)
        if self._size >= BLOCK:
            self._flush()

    def end(self, counts: Mapping[str, int]) -> None:
        self._flush()
        self._frame(Kind.END, json.dumps(dict(counts)).encode())
        self._sealed.finish()

    def _flush(self) -> None:
        if self._gathered:
            self._frame(Kind.ROWS, b"".join(self._gathered))
            self._gathered, self._size = [], 0

    def _frame(self, kind: Kind, content: bytes) -> None:
        packed = zlib.compress(content, 1)
        self._sealed.write(_FRAME.pack(kind.value, len(packed)) + packed)


def frames(sealed: SealedReader) -> Iterator[tuple[Kind, bytes]]:
    """Every frame up to the end. Raises `BrokenSeal` unless the file ends with it."""
    while True:
        kind, size = _FRAME.unpack(sealed.read(_FRAME.size))
        found = Kind(kind)
        yield found, zlib.decompress(sealed.read(size))
        if found is Kind.END:
            break
    if not sealed.at_end():
        raise BrokenSeal("The file goes on behind its end.", hint="Take another backup.")
