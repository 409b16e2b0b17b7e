"""Runs in an environment of MXNet: writes files as its users do, and tells what it finds in files.

    python mxnet_files.py write FOLDER
    python mxnet_files.py tell FOLDER

`write` makes .params and .states files. `tell` reads all there are with MXNet, those of states with
`Updater.set_states`, and writes told.json and told.npz: what holds what, and the arrays.
tests/golden/mxnet1_files.zip and mxnet2_files.zip are such folders: `python -m zipfile -c NAME.zip FOLDER/*`.
"""

from __future__ import annotations

import json
import pickle
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore")

import mxnet as mx  # noqa: E402
import numpy as np  # noqa: E402
from mxnet.lr_scheduler import FactorScheduler, PolyScheduler  # noqa: E402

IS_OLD = mx.__version__.startswith("1.")
DTYPES = ("float16", "float32", "float64", "uint8", "int8", "int32", "int64", "bool")
BFLOAT16 = np.dtype([("bfloat16", np.uint16)])


def numbers(seed: str, shape: tuple[int, ...], dtype: str = "float32") -> Any:
    made = np.random.default_rng(sum(map(ord, seed))).normal(size=shape) * 8
    return mx.nd.array(made > 0 if dtype == "bool" else made, dtype=dtype)


def rows(seed: str, shape: tuple[int, int], dtype: str = "float32") -> Any:
    picked = np.arange(1, shape[0], 2)
    parts = (numbers(seed, (len(picked), shape[1]), dtype), mx.nd.array(picked, dtype="int64"))
    return mx.nd.sparse.row_sparse_array(parts, shape=shape, dtype=dtype)


# ---- .params


def write_params(folder: Path) -> None:
    def save(name: str, data: Any) -> None:
        mx.nd.save(str(folder / f"{name}.params"), data)

    save("dtypes", {f"of_{dtype}": numbers(dtype, (2, 3), dtype) for dtype in DTYPES})
    save("list", [numbers("a", (3,)), numbers("b", (1, 2, 2), "float64"), numbers("c", (1,), "int32")])
    save("one", numbers("one", (5,), "float16"))
    save("none", [])
    save("no_names", {})
    save("names", {"": numbers("x", (1,)), "größe/μ 名": numbers("y", (1,)), "n" * 300: numbers("z", (1,))})
    names = {"fc1_weight": (4, 3), "fc1_bias": (4,)}
    arguments = {name: numbers(name, shape) for name, shape in names.items()}
    mx.model.save_checkpoint(str(folder / "net"), 7, None, arguments, {"bn_mean": numbers("mean", (4,))})
    save("bfloat16", [numbers("b", (4,)).astype(BFLOAT16)])
    if IS_OLD:  # MXNet 2 writes no others
        save(
            "row_sparse",
            {"f32": rows("r", (7, 2)), "f16": rows("h", (4, 3), "float16"), "dense": numbers("d", (2,))},
        )
        save("no_rows", [mx.nd.sparse.zeros("row_sparse", (6, 2), dtype="float64")])
        with mx.util.np_shape(True):
            shapes = {"number": (), "empty": (0, 3), "vector": (2,)}
            save("np_shape", {name: mx.nd.ones(shape) for name, shape in shapes.items()})
    else:
        save(
            "np_shape",
            {"number": numbers("n", ()), "empty": numbers("e", (0, 3)), "vector": numbers("v", (2,))},
        )


# ---- .states


def stepped(optimizer: Any, weights: dict[Any, Any], steps: int = 2) -> Any:
    updater = mx.optimizer.get_updater(optimizer)
    for step in range(steps):
        for index, weight in weights.items():
            gradient = numbers(f"{index}{step}", weight.shape, "float32").astype(weight.dtype)
            is_sparse = weight.stype == "row_sparse"
            updater(index, gradient.tostype("row_sparse") if is_sparse else gradient, weight)
    return updater


def dense(dtype: str = "float32") -> dict[Any, Any]:
    return {0: numbers("w", (2, 3), dtype), 1: numbers("b", (3,), dtype)}


def write_states(folder: Path) -> None:
    make = mx.optimizer
    named = {"fc1_weight": numbers("w", (2, 3)), "fc1_bias": numbers("b", (3,))} if IS_OLD else dense()
    plain: dict[str, Any] = {
        "sgd": stepped(make.SGD(learning_rate=0.1), dense()),
        "momentum": stepped(make.SGD(learning_rate=0.1, momentum=0.9), named),
        "adam": stepped(make.Adam(learning_rate=0.01), dense()),
        "adam_narrow": stepped(make.Adam(multi_precision=True), dense("float16")),
        "momentum_narrow": stepped(make.SGD(momentum=0.9, multi_precision=True), dense("float16")),
        "rmsprop": stepped(make.RMSProp(centered=True), dense()),
    }
    if IS_OLD:
        table = {0: numbers("t", (5, 2)).tostype("row_sparse"), "dense": numbers("d", (2,))}
        plain["sparse"] = stepped(make.Adam(lazy_update=True), table)
    for name, updater in plain.items():
        (folder / f"{name}.states").write_bytes(updater.get_states())
    for protocol in range(6):
        text = pickle.dumps(plain["adam_narrow"].states, protocol)
        (folder / f"protocol{protocol}.states").write_bytes(text)
    whole: dict[str, Any] = {
        "with_sgd": stepped(make.SGD(momentum=0.9, lr_scheduler=FactorScheduler(3, 0.5, base_lr=0.2)), named),
        "with_adam": stepped(make.Adam(wd=0.1, clip_gradient=1.0, lr_scheduler=PolyScheduler(9)), dense()),
    }
    for name, updater in whole.items():
        updater.optimizer.set_wd_mult({"fc1_bias": 0.0})
        (folder / f"{name}.states").write_bytes(updater.get_states(dump_optimizer=True))
    parts = (whole["with_sgd"].states, whole["with_sgd"].optimizer)
    (folder / "with_protocol0.states").write_bytes(pickle.dumps(parts, 0))


def write_trainer(folder: Path) -> None:
    """As users of Gluon and of Module save what they train."""
    weight = mx.gluon.Parameter("weight", shape=(2, 3))
    weight.initialize(mx.init.One())
    trainer = mx.gluon.Trainer({"weight": weight}, "adam", {"learning_rate": 0.1}, kvstore=None)
    with mx.autograd.record():
        loss = (weight.data() * weight.data()).sum()
    loss.backward()
    trainer.step(2)
    trainer.save_states(str(folder / "trainer.states"))
    if IS_OLD:
        module = mx.mod.Module(
            mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=2, name="fc"), label_names=None
        )
        module.bind([("data", (4, 3))])
        module.init_params(mx.init.One())
        module.init_optimizer("local", "sgd", {"momentum": 0.9})
        module.update()
        module.save_checkpoint(str(folder / "module"), 2, save_optimizer_states=True)


# ---- telling


class Told:
    """Values as JSON, with the arrays beside it."""

    def __init__(self) -> None:
        self.arrays: dict[str, Any] = {}

    def value(self, x: Any, path: str) -> Any:
        if isinstance(x, mx.nd.NDArray):
            return self.array(x, path)
        if isinstance(x, (tuple, list)):
            return {type(x).__name__: [self.value(y, f"{path}/{k}") for k, y in enumerate(x)]}
        if isinstance(x, dict):
            return {"dict": [[key, self.value(y, f"{path}/{key}")] for key, y in x.items()]}
        if hasattr(x, "__dict__"):
            state = x.__getstate__() if isinstance(x, mx.optimizer.Optimizer) else vars(x)
            return {"record": [type(x).__module__, type(x).__name__, self.value(state, path)]}
        return x

    def array(self, x: Any, path: str) -> Any:
        if x.stype == "row_sparse":
            self.arrays |= {f"{path}.data": x.data.asnumpy(), f"{path}.indices": x.indices.asnumpy()}
            return {"row_sparse": [path, list(x.shape)]}
        raw = x.asnumpy()
        is_narrow = raw.dtype == BFLOAT16
        self.arrays[path] = raw.view(np.uint16) if is_narrow else raw
        return {"bfloat16" if is_narrow else "array": path}


def read(path: Path) -> Any:
    if path.suffix == ".params":
        return mx.nd.load(str(path))
    updater = mx.optimizer.get_updater(mx.optimizer.SGD())
    before = updater.optimizer
    updater.set_states(path.read_bytes())
    return updater.states if updater.optimizer is before else (updater.states, updater.optimizer)


def tell(folder: Path) -> None:
    told, found = Told(), {}
    for path in sorted([*folder.glob("*.params"), *folder.glob("*.states")]):
        try:
            with mx.util.np_shape(not IS_OLD or path.name == "np_shape.params"):
                found[path.name] = told.value(read(path), path.name)
        except (
            mx.base.MXNetError,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            pickle.PickleError,
        ) as error:
            found[path.name] = {"error": str(error).strip().splitlines()[-1]}
    (folder / "told.json").write_text(json.dumps({"version": mx.__version__, "files": found}, indent=1))
    np.savez_compressed(folder / "told.npz", **told.arrays)


if __name__ == "__main__":
    MODES: dict[str, list[Callable[[Path], None]]] = {
        "write": [write_params, write_states, write_trainer],
        "tell": [tell],
    }
    for step in MODES[sys.argv[1]]:
        step(Path(sys.argv[2]))
