"""Every op's CUDA text on the emulator against the reference engine, bit for bit, under adversarial schedules."""

import zlib

import pytest
from test_engines import ORDINARY, SHAPES, STORAGES, UPDATES, disagreement, ordinary_disagreement
from where import Emulated

from symopt.backends.cuda import geometry
from symopt.dtypes import FLOATS
from symopt.opdef import OpDef

SAMPLE = 12  # one case in so many runs in the usual run
SEEDS = (0, 2, 3, 5)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    everything = metafunc.config.getoption("--all-kernels")
    storages = STORAGES if "storage" in metafunc.fixturenames else ("",)
    ops = UPDATES if "storage" in metafunc.fixturenames else ORDINARY
    found = [(op, storage, dtype) for op in ops for storage in storages for dtype in FLOATS]
    chosen = [c for c in found if everything or zlib.crc32(f"{c[0].name}{c[1]}{c[2]}".encode()) % SAMPLE == 0]
    names = ["-".join(filter(None, (op.name, storage, dtype))) for op, storage, dtype in chosen]
    if len(storages) > 1:
        metafunc.parametrize(("op", "storage", "dtype"), chosen, ids=names)
    else:
        metafunc.parametrize(("op", "dtype"), [(op, dtype) for op, _, dtype in chosen], ids=names)


def test_emulator_equals_reference(
    op: OpDef, storage: str, dtype: str, emulated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every shape, with chunks so small that there are many, in four orders of threads, on 1 and on 3 processors."""
    monkeypatch.setattr(geometry, "CHUNK", 2048)
    wheres = [Emulated(order, 1 + order % 3) for order in SEEDS]
    assert not disagreement(op, storage, dtype, wheres, SHAPES)


def test_ordinary_ops_equal_reference(op: OpDef, dtype: str, emulated: None) -> None:
    assert not ordinary_disagreement(op, dtype, Emulated(3))
