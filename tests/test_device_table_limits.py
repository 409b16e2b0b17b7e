"""Tables on devices: what is taken and what is refused, no memory, states that move, and the text of their kernels."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_checks import generic, local, misrounded, wide
from device_tables import MADE, Trio, rows

import symopt as so
from symopt.backends.cuda.emulator import Emulator
from symopt.backends.cuda.nvrtc import compile_cuda
from symopt.codegen.cuda.text import runs_text
from symopt.embedding import Segment, Table, Tables, load_serving
from symopt.errors import (
    AttributeValueError,
    DeviceError,
    DeviceMemoryError,
    DTypeError,
    ShapeError,
    TooLateError,
    UnknownIdError,
)
from symopt.places import Place, from_host, place_of
from symopt.records.cudacode import cuda_rows_text
from symopt.records.device import DeviceRowGraph

pytestmark = pytest.mark.usefixtures("cxx")


def test_ids_and_arrays_of_any_kind(gpu: Place) -> None:
    """Ids of the device are copied to the host; gradients may be of another dtype, strided, or shaped like the ids."""
    host, device = (Table(Segment(3, "adagrad", learning_rate=0.1), ctx=c) for c in (None, gpu.context))
    ids, grads = np.array([[4, 5], [4, -9]]), rows(4, 3, 0, np.float64).reshape(2, 2, 3)
    strided = from_host(gpu, np.repeat(grads, 2, axis=2))[:, :, ::2]
    host.apply_gradients(ids, grads)
    device.apply_gradients(from_host(gpu, ids), strided)
    out = gpu.empty((2, 2, 3), np.float32)
    shown = device.lookup(from_host(gpu, ids), out=out)
    np.testing.assert_array_equal(gpu.to_host(out), host.lookup(ids))
    assert shown.shape == (2, 2, 3)
    assert device.contains(from_host(gpu, ids)).all()
    empty = device.lookup(np.zeros((0, 2), np.int64))
    assert empty.shape == (0, 2, 3)
    assert device.apply_gradients([], gpu.empty((0, 3), np.float32)).updated == 0


def test_what_lies_elsewhere_is_refused(gpu: Place, tmp_path: Path) -> None:
    table = Table(Segment(3, "adagrad", learning_rate=0.1), ctx=gpu.context, name="mine", max_rows=2)
    here, there = gpu.zeros((1, 3), np.float32), np.zeros((1, 3), np.float32)
    with pytest.raises(DeviceError, match=r"mine.apply_gradients: gradients is in .* expected gpu\(0\)"):
        table.apply_gradients([1], there)
    with pytest.raises(DeviceError, match=r"mine\.assign: values"):
        table.assign([1], there)
    with pytest.raises(DTypeError, match=r"must be an array, got list"):
        table.apply_gradients([1], [[1.0, 2.0, 3.0]])
    with pytest.raises(ShapeError, match="expected shape"):
        table.apply_gradients([1], here[:, :2])
    with pytest.raises(DeviceError, match=r"mine\.lookup: out"):
        table.lookup([1], out=there)
    with pytest.raises(ShapeError, match="out must be float32"):
        table.lookup([1, 2], out=here)
    with pytest.raises(UnknownIdError, match="id 1 has no row"):
        table.lookup([1], missing="raise")
    with pytest.raises(TooLateError):
        table.apply_gradients([1, 2, 3], gpu.zeros((3, 3), np.float32))
    with pytest.raises(AttributeValueError, match="path and store are for tables on"):
        Table(Segment(3, "adagrad", learning_rate=0.1), ctx=gpu.context, path=tmp_path / "rows")
    with pytest.raises(AttributeValueError, match="engine must be 'auto'"):
        Table(Segment(3, "adagrad", learning_rate=0.1), ctx=gpu.context, engine="native")
    with pytest.raises(DeviceError, match="on gpu\\(0\\): look tables up by name"):
        Tables({"mine": table}).fused_lookup([1], [1])
    with pytest.raises(DeviceError, match=r"gradients is in GPU memory.* expected the host's"):
        Table(Segment(3, "adagrad", learning_rate=0.1)).apply_gradients([1], here)
    assert len(table) == 0


def test_tables_of_both_places_together(gpu: Place) -> None:
    made = [
        Tables(
            {
                "a": Table(Segment(2, "adagrad", learning_rate=0.1), ctx=c),
                "b": Table(Segment(1, "sgd", learning_rate=1.0)),
            }
        )
        for c in (None, gpu.context)
    ]
    for tables, up in ((made[0], lambda x: x), (made[1], lambda x: from_host(gpu, x))):
        tables.apply_gradients({"a": ([1, 2, 1], up(rows(3, 2, 0))), "b": ([5], rows(1, 1, 0))})
    host, device = (tables.lookup({"a": [1, 2], "b": [5]}) for tables in made)
    np.testing.assert_array_equal(host["a"], gpu.to_host(device["a"]))
    np.testing.assert_array_equal(host["b"], device["b"])


@pytest.mark.parametrize("adds", [False, True])
def test_without_memory_nothing_is_changed(
    emulated: None, monkeypatch: pytest.MonkeyPatch, adds: bool
) -> None:
    """Whichever of the requests for memory fails, the table is what it was."""
    place: Any = place_of(so.gpu(0))

    def two() -> list[Segment]:
        return [MADE["decay of all rows"](), MADE["adam, its own step for each row"]()]

    for action in ("apply_gradients", "assign_add" if adds else "assign", "reinitialize", "lookup"):
        left = 0
        while True:
            table = Table(two(), ctx=place.context, max_rows=6, policy="least_recent")
            table.apply_gradients([1, 2, 3, 4], from_host(place, rows(4, 8, 0)), req_time=1)
            ids, values = [3, 4, 5, 6, 7], from_host(place, rows(5, 8, 1))
            before = [x.tolist() if isinstance(x, np.ndarray) else x for x in table.lookup_entry([*range(9)])]
            with monkeypatch.context() as patch:
                failing(patch, place, left)
                try:
                    if action == "lookup":
                        table.lookup(ids, missing="initialize")
                    else:
                        getattr(table, action)(ids, *([] if action == "reinitialize" else [values]))
                except DeviceMemoryError:
                    pass
                else:
                    break
            after = [x.tolist() if isinstance(x, np.ndarray) else x for x in table.lookup_entry([*range(9)])]
            assert str(after) == str(before), (action, left)
            left += 1
        assert left >= 2, action


def failing(patch: pytest.MonkeyPatch, place: Any, left: int) -> None:
    """After `left` arrays more a device has no memory."""
    counts = [left]

    def limited(make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any) -> Any:
            counts[0] -= 1
            if counts[0] < 0:
                raise DeviceMemoryError("none left")
            return make(*args)

        return made

    patch.setattr(place, "zeros", limited(place.zeros), raising=False)
    patch.setattr(place, "empty", limited(place.empty), raising=False)
    patch.setattr(
        Emulator, "zeros", lambda self, *a, make=Emulator.zeros: limited(lambda *b: make(self, *b))(*a)
    )


# ---- states


def test_states_move_between_places(gpu: Place, tmp_path: Path) -> None:
    """A state is the host's arrays wherever rows lie: what one saved another takes, and goes on with the same bits."""
    trio = Trio(gpu, MADE["three rules"], track=100)
    for step in range(3):
        ids = np.array([5, step, -7])
        trio.do("apply_gradients", ids, values=rows(3, 16, step), req_time=step)
    trio.do("evict", np.array([0]))
    host, device = trio.hosts[0], trio.device
    device.save(tmp_path / "one", files=2)
    trio.hosts[0] = Table(MADE["three rules"](), track=100, engine="native")
    trio.hosts[0].restore(tmp_path / "one")
    host.save(tmp_path / "two")
    trio.device = Table(MADE["three rules"](), track=100, ctx=gpu.context)
    trio.device.restore(tmp_path / "two")
    trio.hosts[1] = copy.deepcopy(trio.hosts[1])
    trio.device = pickle.loads(pickle.dumps(copy.deepcopy(trio.device)))
    assert trio.device.place is gpu
    for table in (*trio.hosts, trio.device):
        table.stats = type(table.stats)()
    trio.do("apply_gradients", np.array([5, 11]), values=rows(2, 16, 9), req_time=9)
    trio.check()


def test_deltas_and_serving_tables(gpu: Place, tmp_path: Path) -> None:
    """What changed is sent as the host's arrays, to tables of either place; decay that rows missed is in it."""
    trio = Trio(gpu, MADE["decay of all rows"], track=100)
    for step in range(3):
        trio.do("apply_gradients", np.array([5, step]), values=rows(2, 4, step), req_time=step)
    sent = [table.take_delta(states=True) for table in (trio.hosts[0], trio.device)]
    np.testing.assert_array_equal(sent[0].weights, sent[1].weights, strict=True)
    receivers = [Table(MADE["decay of all rows"](), ctx=c) for c in (gpu.context, None)]
    for receiver, delta in zip(receivers, sent, strict=True):
        receiver.apply_delta(delta)
    there, here = (receiver.lookup([5, 0, 1, 2]) for receiver in receivers)
    np.testing.assert_array_equal(gpu.to_host(there), here, strict=True)
    trio.device.export(tmp_path / "serving")
    np.testing.assert_array_equal(
        load_serving(tmp_path / "serving").lookup([5, 1]), gpu.to_host(trio.device.lookup([5, 1]))
    )


def test_an_interrupt_leaves_no_new_row(gpu: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(MADE["adagrad"](), ctx=gpu.context)
    table.apply_gradients([1], from_host(gpu, rows(1, 5, 0)))

    def interrupted(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(DeviceRowGraph, "_launch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            table.apply_gradients([1, 2, 3], from_host(gpu, rows(3, 5, 1)))
    assert table.ids().tolist() == [1] and table.steps == 1
    table.apply_gradients([1, 2, 3], from_host(gpu, rows(3, 5, 1)))
    assert len(table) == 3


# ---- text


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100"])
def test_kernels_compile_to_what_was_meant(nvrtc: None, emulated: None, architecture: str) -> None:
    """For a GPU: nothing is spilled, arithmetic is IEEE's, and rows of whole vectors are read 16 bytes at a time."""
    for name in ("three rules", "sums over the tensor", "a rule of the user's"):
        graphs = Table(MADE[name](), ctx="gpu")._rows
        for graph in (graphs.updating, graphs._reading, graphs.born):
            assert isinstance(graph, DeviceRowGraph)
            text = cuda_rows_text(graph.sections)
            found = compile_cuda(text, architecture).resources["run"]
            assert not found.spill and not found.stack, name
            ptx = compile_cuda(text, architecture, ptx=True).image.decode()
            assert not local(ptx) and not misrounded(ptx), name
            assert not [line for line in generic(ptx) if ".v2" in line or ".v4" in line], name
            assert wide(ptx, "st" if graph is graphs.born else "ld"), name
    text, names = runs_text()
    machine = compile_cuda(text, architecture)
    assert set(machine.resources) == set(names)
    assert not any(r.stack or r.spill for r in machine.resources.values())
