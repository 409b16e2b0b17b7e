"""The states of MXNet's Updaters: as MXNet writes them, and written here for Python's pickle and MXNet to read."""

from __future__ import annotations

import io
import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_files import NAMES, folder_of
from told_files import differences, read, write

import symopt as so
from symopt import sym
from symopt.errors import (
    ArrayError,
    DTypeError,
    FormatError,
    StorageError,
    UnknownArgumentError,
    UnknownOpError,
)
from symopt.mxnetfiles import (
    ObjectRecord,
    load_updater_states,
    read_states,
    save_updater_states,
    write_states,
)
from symopt.mxnetfiles.ndarrays import V2, V3
from symopt.places import Place, from_host

STATES = [case for case in NAMES if case[1].endswith(".states")]


@pytest.mark.parametrize("case", STATES, ids="-".join)
def test_files_of_mxnet_are_read_and_written_to_the_bit(case: tuple[str, str], tmp_path: Path) -> None:
    """What MXNet finds in a file written here is seen by `make conformance`."""
    folder = folder_of(case[0])
    path = tmp_path / case[1]
    path.write_bytes(folder.files[case[1]])
    value = read(path)
    assert list(differences(value, folder.told[case[1]], folder.arrays, case[1])) == []
    write(path, value, np_shape=True if case[0] == "mxnet2" else None)
    assert list(differences(read(path), folder.told[case[1]], folder.arrays, case[1])) == []


def test_the_optimizer_is_a_record() -> None:
    states, optimizer = read_states(folder_of("mxnet1").files["with_sgd.states"])
    assert list(states) == ["fc1_weight", "fc1_bias"] and optimizer is not None
    assert (optimizer.module, optimizer.name) == ("mxnet.optimizer.optimizer", "SGD")
    assert optimizer.attributes["momentum"] == 0.9 and optimizer.attributes["wd_mult"] == {"fc1_bias": 0.0}
    scheduler = optimizer.attributes["lr_scheduler"]
    assert isinstance(scheduler, ObjectRecord) and scheduler.name == "FactorScheduler"
    assert scheduler.attributes["base_lr"] == 0.2 and scheduler.attributes["step"] == 3


def test_what_is_read_shares_no_memory() -> None:
    content = folder_of("mxnet1").files["adam.states"]
    one, other = read_states(content), load_updater_states(bytearray(content))
    one.states[0][0][...] = 7
    assert one.states[0][0].flags.carray and not (other.states[0][0] == 7).any()


# ---- written


class Fake:
    """In place of a class of MXNet's: keeps what Python's pickle gives it."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = state


class FakeOptimizer(Fake):
    pass


class FakeUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("mxnet.ndarray.ndarray", "NDArray"): Fake,
            ("mxnet.ndarray.sparse", "RowSparseNDArray"): Fake,
            ("mxnet.optimizer.optimizer", "SGD"): FakeOptimizer,
            ("builtins", "bytearray"): bytearray,
        }
        return known[module, name]


def test_pythons_pickle_reads_what_is_written() -> None:
    """Arrays get None, then a handle that MXNet may write into, which are the bytes of a .params file's array."""
    array, rows = np.arange(3, dtype="float16"), so.sparse.zeros((4, 2))
    record = ObjectRecord(
        "mxnet.optimizer.optimizer", "SGD", {"lr": np.float32(0.5), "wd_mult": {"w": 1, 3: -(2**63)}}
    )
    written = write_states({0: None, "w": (array, [rows, True, 2**64 - 1]), 2: 0.5}, record)
    states, optimizer = FakeUnpickler(io.BytesIO(written)).load()
    assert list(states) == [0, "w", 2] and states[0] is None and states[2] == 0.5
    dense, (sparse, flag, number) = states["w"]
    assert dense.arguments == (None,) and list(dense.state) == ["handle"]
    assert type(dense.state["handle"]) is bytearray and flag is True and number == 2**64 - 1
    head = struct.pack("<Iiiqiii", V2, 0, 1, 3, 1, 0, 2)
    assert dense.state["handle"] == head + array.tobytes()
    assert sparse.state["handle"][:8] == struct.pack("<Ii", V2, 1)
    assert type(optimizer) is FakeOptimizer
    assert optimizer.state == {"lr": 0.5, "wd_mult": {"w": 1, 3: -(2**63)}}


def test_shapes_decide_the_version() -> None:
    for array, np_shape, version in (
        (np.ones(2), None, V2), (np.ones(2), True, V3), (np.ones(()), None, V3), (np.ones((0,)), None, V3)
    ):  # fmt: skip
        written = FakeUnpickler(io.BytesIO(write_states({0: array}, np_shape=np_shape))).load()
        assert written[0].state["handle"][:4] == struct.pack("<I", version)


REFUSED: dict[str, tuple[Any, Any, type[Exception], str]] = {
    "an index": ({1.5: None}, None, UnknownArgumentError, "by number or name, got 1.5"),
    "a text": ({0: "state"}, None, DTypeError, "the state of 0 must be an array"),
    "a dict": ({0: (None, {})}, None, DTypeError, r"the state of 0\[1\] must be an array"),
    "a dtype": (
        {"w": [np.ones(1, "complex64")]},
        None,
        DTypeError,
        r"the state of 'w'\[0\] has dtype complex64",
    ),
    "no shape": ({"w": np.ones(()), "v": so.sparse.zeros((2, 1))}, None, StorageError, "row_sparse"),
    "an optimizer": ({}, "SGD", UnknownArgumentError, "ObjectRecord, got str"),
    "an attribute": (
        {},
        ObjectRecord("m", "C", {"f": print}),
        UnknownArgumentError,
        "built-in function print",
    ),
    "a large number": (
        {},
        ObjectRecord("m", "C", {"n": 2**64}),
        UnknownArgumentError,
        "18446744073709551616",
    ),
    "a key": ({}, ObjectRecord("m", "C", {"d": {None: 1}}), UnknownArgumentError, "got None"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_written_leaves_the_old_file(case: str, tmp_path: Path) -> None:
    states, optimizer, error, words = REFUSED[case]
    path = tmp_path / "x.states"
    path.write_bytes(b"old")
    with pytest.raises(error, match=words):
        save_updater_states(path, states, optimizer)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "got list"),
        (({0: None}, {1: None}), "got tuple"),
        ({0: {"mean": 1}}, "the state of 0 is of type dict"),
        ({0: (None, ["x"])}, r"the state of 0\[1\]\[0\] is of type str"),
    ],
)
def test_pickles_of_something_else(value: Any, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "x.states"
    path.write_bytes(pickle.dumps(value))
    with pytest.raises(FormatError, match=reason) as raised:
        load_updater_states(path)
    assert str(path) in str(raised.value)


def test_arrays_of_a_gpu_are_written(gpu: Place) -> None:
    array = np.arange(6, dtype="float32").reshape(2, 3)
    record = ObjectRecord("mxnet.optimizer.optimizer", "SGD", {"old": {"w": [array.T]}})
    states, optimizer = read_states(write_states({0: (from_host(gpu, array), None)}, record))
    np.testing.assert_array_equal(states[0][0], array, strict=True)
    assert optimizer is not None
    np.testing.assert_array_equal(optimizer.attributes["old"]["w"][0], array.T, strict=True)


# ---- checkpoints


def test_a_checkpoint_goes_there_and_back(tmp_path: Path) -> None:
    prefix = tmp_path / "net"
    step = sym.sgd_mom_update(sym.var("w"), sym.var("g"), sym.var("m"), lr=0.1, name="u")
    arguments, states = {"w": np.ones((2, 3)), "a:b": np.zeros(1, "int32")}, {"m": np.ones(2, "float16")}
    so.model.save_checkpoint(prefix, 12, step, arguments, states)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net-0012.params", "net-symbol.json"]
    loaded, found, found_states = so.model.load_checkpoint(prefix, 12)
    assert loaded.tojson() == step.tojson()
    assert list(found) == ["w", "a:b"] and list(found_states) == ["m"]
    np.testing.assert_array_equal(found["a:b"], arguments["a:b"], strict=True)
    np.testing.assert_array_equal(found_states["m"], states["m"], strict=True)
    so.model.save_checkpoint(prefix, 13, None, arguments, {})
    assert so.model.load_params(prefix, 13)[1] == {}


def test_a_checkpoint_of_mxnet(tmp_path: Path) -> None:
    folder = folder_of("mxnet1")
    (tmp_path / "net-0007.params").write_bytes(folder.files["net-0007.params"])
    arguments, states = so.model.load_params(tmp_path / "net", 7)
    assert {n: x.shape for n, x in arguments.items()} == {"fc1_weight": (4, 3), "fc1_bias": (4,)}
    assert {n: x.shape for n, x in states.items()} == {"bn_mean": (4,)}


def no_names(prefix: Path) -> None:
    so.nd.save(f"{prefix}-0001.params", [np.ones(1)])


def other_names(prefix: Path) -> None:
    so.nd.save(f"{prefix}-0001.params", {"arg:w": np.ones(1), "weight": np.ones(1)})


def a_network(prefix: Path) -> None:
    so.nd.save(f"{prefix}-0001.params", {})
    nodes = [
        {"op": "null", "name": "x", "inputs": []},
        {"op": "Convolution", "name": "c", "inputs": [[0, 0, 0]]},
    ]
    Path(f"{prefix}-symbol.json").write_text(
        json.dumps({"nodes": nodes, "arg_nodes": [0], "heads": [[1, 0, 0]]})
    )


@pytest.mark.parametrize(
    ("make", "load", "error", "reason"),
    [
        (no_names, so.model.load_params, FormatError, "have no names: so.nd.load"),
        (other_names, so.model.load_params, FormatError, "'weight', which does not begin with 'arg:'"),
        (a_network, so.model.load_checkpoint, UnknownOpError, "Convolution"),
    ],
    ids=["no names", "other names", "a network"],
)
def test_files_that_are_no_checkpoint(
    make: Callable[[Path], None],
    load: Callable[..., Any],
    error: type[Exception],
    reason: str,
    tmp_path: Path,
) -> None:
    make(tmp_path / "net")
    with pytest.raises(error, match=reason):
        load(tmp_path / "net", 1)


def test_a_checkpoint_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ArrayError, match="zero byte, got 'aux:n"):
        so.model.save_checkpoint(tmp_path / "net", 1, sym.var("w"), {"w": np.ones(1)}, {"n\0": np.ones(1)})
    assert list(tmp_path.iterdir()) == []
