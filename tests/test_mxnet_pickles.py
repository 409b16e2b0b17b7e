"""Pickles read as data: hostile ones do nothing and are refused, others give what Python's pickle gives."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import random
import sys
import threading
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_files import NAMES, folder_of
from hostile_pickles import DTYPE, EMPTY, FIRING, HANDLE, NDARRAY, OTHERS, SGD, firing
from hypothesis import given, settings
from hypothesis import strategies as st

from symopt.dtypes import to_numpy
from symopt.errors import FormatError
from symopt.mxnetfiles import ObjectRecord, UpdaterStates, read_states
from symopt.mxnetfiles.inert import MAKERS
from symopt.mxnetfiles.pickles import read_pickle

STATES = [case for case in NAMES if case[1].endswith(".states")]
HARMLESS = {"object.__getattr__", "sys._getframe", "gc.get_objects"}
_seen: list[str] | None = None
_thread = 0


def _hook(event: str, arguments: object) -> None:
    if _seen is not None and event not in HARMLESS and threading.get_ident() == _thread:
        _seen.append(event)


sys.addaudithook(_hook)
# Python's codecs, NumPy and ml_dtypes import parts of themselves when they are first needed.
for content in (
    b"V\n.",
    b"U\0.",
    b"U\xff.",
    *(folder_of("mxnet1").files[n] for n in ("sparse.states", "protocol0.states")),
):
    with contextlib.suppress(FormatError):
        read_pickle(content)
to_numpy("bfloat16")


@contextmanager
def canary() -> Iterator[None]:
    """Nothing happens inside that Python reports to audit hooks: no import, no file, no code, no process."""
    global _seen, _thread
    gc.disable()  # what others left behind may have finalizers
    _seen, _thread = [], threading.get_ident()
    try:
        yield
    finally:
        events, _seen = _seen, None
        gc.enable()
    assert events == []


EFFECTS: dict[str, Callable[[], Any]] = {
    "a file": lambda: open("/dev/null").close(),
    "a folder": lambda: os.listdir("."),
    "a name": lambda: pickle.loads(b"cos\ngetcwd\n."),
    "code": lambda: eval("1"),
    "an import": lambda: __import__("symopt.no_such_module"),
}


@pytest.mark.parametrize("effect", EFFECTS)
def test_the_canary_sings(effect: str) -> None:
    with pytest.raises(AssertionError), canary(), contextlib.suppress(ImportError):
        EFFECTS[effect]()


def test_the_canary_is_silent_without_a_cause() -> None:
    with canary():
        sorted(range(10))


def outcome(content: bytes) -> UpdaterStates | None:
    """The states, or None for a FormatError; any other exception and any effect fails."""
    with canary():
        try:
            return read_states(content)
        except FormatError as error:
            assert len(str(error)) < 1000 and str(error).isprintable()
            return None


@pytest.mark.parametrize("name", FIRING)
def test_attacks_do_nothing(name: str, tmp_path: Path) -> None:
    target = tmp_path / "made"
    content = firing(name, str(target))
    with canary(), pytest.raises(FormatError, match=r"^at byte \d+: .*refused") as raised:
        read_pickle(content)
    assert FIRING[name][1] in str(raised.value)
    assert not target.exists()


@pytest.mark.parametrize("name", FIRING)
def test_attacks_are_such(name: str, tmp_path: Path) -> None:
    """What Python's pickle makes of them: the tests above would pass for files that do nothing anyway."""
    target = tmp_path / "made"
    pickle.loads(firing(name, str(target)))
    assert target.is_dir()


@pytest.mark.parametrize("name", OTHERS)
def test_what_arrays_do_not_need_is_refused(name: str) -> None:
    content, reason = OTHERS[name]
    tracemalloc.start()
    try:
        with canary(), pytest.raises(FormatError) as raised:
            read_pickle(content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reason in str(raised.value)
    assert len(str(raised.value)) < 1000 and str(raised.value).isprintable()
    assert peak < 300_000 + 200 * len(content)


IMPORTABLE = [
    "os.system", "os.popen", "os.remove", "posix.system", "nt.system", "subprocess.Popen", "subprocess.check_output",
    "builtins.eval", "builtins.exec", "builtins.open", "builtins.getattr", "builtins.__import__", "builtins.compile",
    "builtins.object", "importlib.import_module", "runpy.run_path", "pty.spawn", "code.interact", "timeit.timeit",
    "shutil.rmtree", "webbrowser.open", "socket.socket", "ctypes.CDLL", "pickle.loads", "marshal.loads",
    "types.FunctionType", "functools.reduce", "operator.attrgetter", "pydoc.locate", "sys.exit", "signal.raise_signal",
    "numpy.load", "numpy.memmap", "numpy.f2py.compile", "numpy.core.multiarray.fromfile", "copyreg.add_extension",
    "symopt.nd.load",
    "symopt.mxnetfiles.inert.Unfinished", "mxnet.nd.load", "mxnet.library.load", "mxnet.rtc.CudaModule",
    "collections.defaultdict", "__main__.Optimizer", "mxnet.optimizer_.SGD", "mxnet", "",
]  # fmt: skip


@pytest.mark.parametrize("dotted", IMPORTABLE)
def test_names_are_never_looked_up(dotted: str) -> None:
    module, _, name = dotted.rpartition(".")
    by_stack = f"\x8c{chr(len(module))}{module}\x8c{chr(len(name))}{name}\x93".encode("latin-1")
    for head in (f"c{module}\n{name}\n".encode(), by_stack):
        for tail in (b")R.", b")\x81.", b"}b.", b"."):
            with canary(), pytest.raises(FormatError):
                read_pickle(head + tail)


def test_classes_that_the_reader_names_become_records() -> None:
    """Also where they are dangerous: a record is two names and a dict."""
    for module, name in (("__main__", "Warmup"), ("subprocess", "Popen")):
        content = f"}}c{module}\n{name}\n)\x81}}Vsteps\nK\x05sb\x86.".encode("latin-1")
        with canary():
            found = read_states(content, classes=[f"{module}.{name}"])
        assert found == ({}, ObjectRecord(module, name, {"steps": 5}))
        called = f"}}c{module}\n{name}\n(VX\ntR\x86.".encode("latin-1")
        for text, classes, reason in (
            (content, (), "is refused"),
            (called, [f"{module}.{name}"], "is called"),
        ):
            with canary(), pytest.raises(FormatError, match=rf"{module}.{name}.* {reason}"):
                read_states(text, classes)


# ---- mutations


def mutated(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """Some bytes replaced, left out, doubled, or taken from another pickle."""
    made = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 5, 20))):
        at = rng.randrange(len(made) + 1)
        kind = rng.randrange(5)
        if kind == 0 and at < len(made):
            made[at] = rng.randrange(256)
        elif kind == 1 and at < len(made):
            made[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del made[at : at + rng.choice((1, 2, 8))]
        else:
            source = other if kind == 3 else made
            start = rng.randrange(len(source))
            made[at:at] = source[start : start + rng.choice((1, 4, 30))]
        made = made or bytearray(b".")
    return bytes(made)


@pytest.mark.parametrize("case", STATES, ids="-".join)
def test_mutations_give_states_or_an_error(case: tuple[str, str]) -> None:
    rng = random.Random("-".join(case))
    content = folder_of(case[0]).files[case[1]]
    others = [folder_of(system).files[name] for system, name in STATES] + [
        content for content, _ in OTHERS.values()
    ]
    others = [other for other in others if 0 < len(other) < 5000]
    found = [outcome(mutated(content, rng.choice(others), rng)) for _ in range(250)]
    assert None in found


@pytest.mark.parametrize("name", ["adam.states", "with_sgd.states", "protocol0.states"])
def test_cut_short_anywhere(name: str) -> None:
    content = folder_of("mxnet1").files[name]
    assert all(outcome(content[:length]) is None for length in range(len(content)))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_content(content: bytes) -> None:
    outcome(content)


FRAGMENTS = [
    *(bytes([code]) for code in b"N)](}.tlaedsubR"), b"\x85", b"\x86", b"\x81", b"\x94", b"K\1", b"K\0",
    b"VC\n", b"C\4abcd", b"q\0", b"q\1", b"h\0", b"h\1", b"I00\n", NDARRAY, NDARRAY + b"(NtR", HANDLE, SGD,
    SGD + b")\x81", DTYPE, EMPTY,
    *(f"c{module}\n{name}\n".encode() for module, name in MAKERS),
]  # fmt: skip


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=25).map(b"".join))
def test_any_program(content: bytes) -> None:
    outcome(content)
    outcome(b"}K\0" + content + b"s.")


# ---- what is read


VALUES: dict[str, Any] = {
    "numbers": [0, 1, -1, 255, 256, 65536, -(2**31), 2**40, -(2**63), 2**64 - 1, 0.1, -1e300, float("inf")],
    "flags": (True, False, None),
    "texts": ["", "w", "größe", "𝛽", "a\nb\\u0041", "\ud800", "x" * 300],
    "bytes": [b"", b"\0\xff", b"n" * 300],
    "containers": {"a": (), "b": [], "c": {}, 3: ((1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)), 4: [[[]]]},
    "shared": [[1, 2]] * 2,
    "ordered": OrderedDict([("b", 1), ("a", 2)]),
    "many": list(range(3000)),
}
ARRAYS = {
    "vector": np.arange(3, dtype="float32"),
    "number": np.array(1.5, "float64"),
    "empty": np.zeros((0, 3), "int8"),
    "columns first": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": np.arange(12.0).reshape(3, 4)[:, ::2],
    "big endian": np.arange(3, dtype=">f4"),
    "bool": np.array([[True, False]]),
    "half": np.arange(4, dtype="float16").reshape(2, 2),
    "complex": np.array([1 + 2j], "complex64"),
    "unsigned": np.array([2**64 - 1], "uint64"),
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", VALUES)
def test_plain_values(name: str, protocol: int) -> None:
    found = read_pickle(pickle.dumps(VALUES[name], protocol))
    assert found == VALUES[name]
    assert type(found) is (dict if name == "ordered" else type(VALUES[name]))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_numpy(name: str, protocol: int) -> None:
    there = ARRAYS[name]
    content = pickle.dumps([there, there.dtype.type(1), np.float32(0.5)], protocol)
    older = content.replace(b"cnumpy._core.", b"cnumpy.core.")
    for written in (content, older):
        found, one, half = read_pickle(written)
        assert found.flags.carray and found.dtype == there.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found, there, strict=name != "big endian")
        assert (one, half) == (1, 0.5) and isinstance(one, np.generic)
