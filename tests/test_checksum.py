"""CRC-32C, by whatever code: the values that its authors give, and those of a bit by bit computation."""

from __future__ import annotations

import ctypes
import random

import numpy as np
import pytest

from symopt.backends.jit import compile_function, host_features
from symopt.checkpoint import checksum
from symopt.checkpoint.checksum import combine, crc32c
from symopt.checkpoint.checksumcode import program

# RFC 3720, B.4
KNOWN = {
    bytes(32): 0x8A9136AA,
    b"\xff" * 32: 0x62A8AB43,
    bytes(range(32)): 0x46DD794E,
    bytes(range(31, -1, -1)): 0x113FDB5C,
    b"123456789": 0xE3069283,
    b"": 0,
}


def slowly(data: bytes) -> int:
    found = 0xFFFFFFFF
    for byte in data:
        found ^= byte
        for _ in range(8):
            found = found >> 1 ^ (0x82F63B78 if found & 1 else 0)
    return found ^ 0xFFFFFFFF


@pytest.fixture(params=["this processor's", "table"])
def code(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "table":
        text = program("unknown", set())
        made = compile_function(text, "streams", ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
        monkeypatch.setattr(checksum, "_streams", lambda: made)


@pytest.mark.usefixtures("code")
def test_known_values() -> None:
    assert {data: crc32c(data) for data in KNOWN} == KNOWN == {data: slowly(data) for data in KNOWN}


@pytest.mark.usefixtures("code")
@pytest.mark.parametrize("size", [1, 7, 23, 24, 25, 47, 48, 1000, 4096, 65_537])
def test_any_size_and_place(size: int) -> None:
    data = random.Random(size).randbytes(size + 3)
    for begin in range(3):
        part = memoryview(data)[begin : begin + size]
        assert crc32c(part) == slowly(bytes(part)) == crc32c(np.frombuffer(part, np.uint8).data)


@pytest.mark.parametrize("first, second", [(b"", b""), (b"a", b""), (b"", b"b"), (b"ab" * 999, b"c" * 12345)])
def test_parts_are_put_together(first: bytes, second: bytes) -> None:
    whole = crc32c(first + second)
    assert combine(crc32c(first), crc32c(second), len(second)) == whole == crc32c(second, crc32c(first))


def test_zeros_before_count() -> None:
    assert len({crc32c(bytes(n)) for n in range(100)}) == 100
    assert combine(crc32c(b""), crc32c(b"x"), 1) == crc32c(b"x")


def test_instructions_are_used_where_they_are() -> None:
    architecture, features = host_features()
    text = program(architecture, features)
    if architecture == "x86_64" and "sse4.2" in features:
        assert "llvm.x86.sse42" in text and "@table" not in text
    assert "llvm.aarch64.crc32cx" in program("aarch64", {"crc"})
    assert "@table" in program("aarch64", set()) and "@table" in program("x86_64", set())
