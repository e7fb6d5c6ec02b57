"""Sealed files: what was sealed comes back, and no change to a file goes unnoticed."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from lazaret.kernel.errors import LazaretError
from lazaret.kernel.sealed import (
    CHUNK,
    LEAST_COST,
    MAGIC,
    BrokenSeal,
    NewerSeal,
    NotSealed,
    SealedReader,
    SealedWriter,
    WrongPassphrase,
)

PASSPHRASE = SecretStr("correct horse battery staple")
HEADER = len(MAGIC) + 2 + 1 + 32
SEALED_CHUNK = CHUNK + 16


def sealed(*pieces: bytes) -> bytes:
    file = io.BytesIO()
    writer = SealedWriter(file, PASSPHRASE, cost=LEAST_COST)
    for piece in pieces:
        writer.write(piece)
    writer.finish()
    return file.getvalue()


def unsealed(data: bytes, passphrase: SecretStr = PASSPHRASE) -> bytes:
    reader = SealedReader(io.BytesIO(data), passphrase)
    found = bytearray()
    while not reader.at_end():
        found += reader.read(1)
        found += reader.read(min(CHUNK - 1, len(reader._open)))
    return bytes(found)


SIZES = st.one_of(st.integers(0, 300), st.sampled_from([CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 7]))


@given(sizes=st.lists(SIZES, max_size=4))
def test_what_was_sealed_comes_back_whole(sizes: list[int]) -> None:
    pieces = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    assert unsealed(sealed(*pieces)) == b"".join(pieces)


@given(data=st.data(), size=SIZES)
def test_any_flipped_bit_is_found_out(data: st.DataObject, size: int) -> None:
    whole = bytearray(sealed(b"x" * size))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(LazaretError):
        unsealed(bytes(whole))


@given(data=st.data(), size=SIZES)
def test_any_end_that_is_cut_off_is_missed(data: st.DataObject, size: int) -> None:
    whole = sealed(b"x" * size)
    with pytest.raises(LazaretError):
        unsealed(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(more=st.binary(min_size=1, max_size=64))
@settings(max_examples=20)
def test_anything_added_is_found_out(more: bytes) -> None:
    with pytest.raises(BrokenSeal):
        unsealed(sealed(b"x") + more)


def test_chunks_keep_their_order_and_their_file() -> None:
    whole = sealed(b"a" * CHUNK + b"b" * CHUNK + b"c")
    begin = HEADER + 16
    first, second = whole[begin : begin + SEALED_CHUNK], whole[begin + SEALED_CHUNK : begin + 2 * SEALED_CHUNK]
    end = whole[begin + 2 * SEALED_CHUNK :]
    for wrong in (second + first + end, first + end, first + second, first + first + end):
        with pytest.raises(BrokenSeal):
            unsealed(whole[:begin] + wrong)
    other = sealed(b"a" * CHUNK + b"b" * CHUNK + b"c")
    with pytest.raises(BrokenSeal):
        unsealed(whole[:begin] + other[begin:])


def test_another_passphrase_is_told_from_damage() -> None:
    with pytest.raises(WrongPassphrase):
        SealedReader(io.BytesIO(sealed(b"x")), SecretStr("correct horse battery stapler"))


def test_what_is_not_ours_or_not_yet_ours_is_told() -> None:
    for data in (b"", b"PK\x03\x04", b"x" * 1000):
        with pytest.raises(NotSealed):
            SealedReader(io.BytesIO(data), PASSPHRASE)
    newer = bytearray(sealed(b"x"))
    newer[len(MAGIC) + 1] += 1
    with pytest.raises(NewerSeal):
        SealedReader(io.BytesIO(bytes(newer)), PASSPHRASE)


def test_a_file_cannot_make_its_reader_take_all_memory() -> None:
    hungry = bytearray(sealed(b"x"))
    hungry[len(MAGIC) + 2] = 40
    with pytest.raises(BrokenSeal):
        SealedReader(io.BytesIO(bytes(hungry)), PASSPHRASE)


def test_nothing_of_it_can_be_read() -> None:
    assert b"planted" not in sealed(b"planted secret" * 10_000)
    assert sealed(b"x") != sealed(b"x"), "no two files share a key"


def test_less_than_was_asked_for_is_no_answer() -> None:
    with pytest.raises(BrokenSeal):
        SealedReader(io.BytesIO(sealed(b"abc")), PASSPHRASE).read(4)
