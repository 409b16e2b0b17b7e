"""Small graphs that between them need every line of the CUDA templates, for bugs planted there to show.

Each takes an `Engine` and gives what it computed: arrays, and words on what was refused. On the reference engine that
is what is right; on the emulator arrays lie before pages that nobody may touch.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from symopt import sym
from symopt.backends.cuda.device import Source
from symopt.backends.cuda.emulator import Emulator
from symopt.canonical import BLOCK
from symopt.codegen.cuda.text import prelude
from symopt.lang import RowState, Tensor, Updated, updated
from symopt.opdef import OPS, update_op
from symopt.prims import PRIMS


class Engine(NamedTuple):
    """Where a workload runs. `device`: of the emulator; None for the reference."""

    device: Emulator | None
    text: Callable[[str], str]  # what a planted bug makes of CUDA text

    @property
    def name(self) -> str:
        return "emulator" if self.device else "reference"

    def array(self, values: Any, offset: int = 0) -> np.ndarray:
        """A copy of one's own, `offset` bytes after a multiple of 16."""
        return self.device.guarded(np.asarray(values), offset) if self.device else np.array(values)

    def bind(self, symbols: Any, args: dict[str, Any], states: dict[str, Any] | None = None) -> Any:
        group = sym.Group(symbols) if isinstance(symbols, list) else symbols
        return group.bind(args=args, aux_states=states or {}, engine=self.name)


def normal(seed: int, shape: Sequence[int], dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(tuple(shape)).astype(dtype)


# ---- runs of elements


def elements(engine: Engine) -> list[Any]:
    """More chunks than blocks of threads, ragged, some not aligned, each tensor with numbers of its own. At the second
    step one has other numbers, and one lies elsewhere."""
    nodes, args, states = [], dict[str, Any](), dict[str, Any]()
    for k, n in enumerate((1, 3, 4, 5, 0, 1023, 1024, 1025, 2049, 4099, 6200)):
        w, g, m = (sym.var(f"{name}{k}") for name in "wgm")
        nodes.append(sym.sgd_mom_update(w, g, m, lr=0.1 + k, momentum=0.9, out=w, name=f"step{k}"))
        offset = 4 * (k % 3 == 1)
        args |= {f"w{k}": engine.array(normal(k, [n]), offset), f"g{k}": engine.array(normal(50 + k, [n]))}
        states[f"m{k}"] = engine.array(normal(99 + k, [n]))
    executor = engine.bind(nodes, args, states)
    executor.forward()
    executor.set_attr("step3", lr=0.7)
    other = engine.array(args["w9"], 4)
    executor.forward(w9=other)
    return [*args.values(), *states.values(), other]


def random_rounding(engine: Engine) -> list[Any]:
    """Rounding up or down depends on the number of each element, in runs and in rows."""
    w, g, h, x, t = (sym.var(name) for name in ("w", "g", "h", "x", "t"))
    t = sym.var("t", shape=())
    how = {"rounding": "stochastic", "seed": t}
    nodes = [
        sym.sgd_update(x, x, lr=0.3, out=x, **how),
        sym.group_adagrad_update(w, g, h, lr=0.1, out=w, **how),
    ]
    bfloat = ml_dtypes.bfloat16
    args: dict[str, Any] = {name: engine.array(normal(k, (300, 40), bfloat)) for k, name in enumerate("wg")}
    args |= {"x": engine.array(normal(2, [9001], bfloat)), "t": 7}
    engine.bind(nodes, args, {"h": engine.array(np.ones((300, 1), bfloat))}).forward()
    return [args["w"], args["x"]]


PROBE = """
extern "C" __global__ void __launch_bounds__(THREADS)
probe(const float* x, const u16* h, const i64* index, float* noises, u16* rounded, u16* neighbours, int n) {
  for (int i = blockIdx.x * THREADS + threadIdx.x; i < n; i += gridDim.x * THREADS) {
    noises[i] = noise(index[i], x[i], 3.0f);
    rounded[i] = float_to_bfloat(x[i]);
    neighbours[i] = toward(h[i], x[i]);
  }
}
"""


def functions(engine: Engine) -> list[Any]:
    """The functions of the prelude on more values than small tensors lead to."""
    rng = np.random.default_rng(1)
    n = 2**16
    index = rng.integers(0, 2**40, n)
    bits = rng.integers(0, 2**32, n, np.uint32)
    bits[::3] &= 0xFFFF8000  # ties
    bits[::1000] = 0x7F800001  # a NaN whose high half is infinity's
    bits[1::1000] = 0xFFFFFFFF
    bits, h = np.append(bits, bits ^ np.uint32(2**31)), np.tile(np.arange(n, dtype=np.uint16), 2)
    x, index, n = bits.view(np.float32), np.tile(index, 2), 2 * n
    if engine.device is None:
        with np.errstate(all="ignore"):
            noises = PRIMS["noise"].numpy(index, x, np.float32(3))
            return [noises, x.astype(ml_dtypes.bfloat16), PRIMS["toward"].numpy(h, x)]
    given = [engine.array(a) for a in (x, h, index)]
    made = [engine.device.zeros(n, dtype) for dtype in (np.float32, np.uint16, np.uint16)]
    (code,) = engine.device.load([Source(engine.text(prelude() + PROBE), ("probe",))])
    at = [np.uint64(engine.device.address(a)) for a in (*given, *made)]
    engine.device.launch(code["probe"], 2, [*at, np.int32(n)])
    return [made[0], made[1].view(ml_dtypes.bfloat16), made[2]]


# ---- rows


def rows(engine: Engine, shapes: Sequence[tuple[int, int]] = ()) -> list[Any]:
    """Teams of every size, some rows not aligned, more rows in a chunk than teams in a block of threads."""
    nodes, args, states = [], dict[str, Any](), dict[str, Any]()
    shapes = shapes or [(300, 1), (40, 5), (40, 8), (70, 12), (40, 33), (40, 64), (40, 100), (20, 203)]
    for k, shape in enumerate(shapes):
        w, g, h = (sym.var(f"{name}{k}") for name in "wgh")
        nodes.append(sym.group_adagrad_update(w, g, h, lr=0.1, out=w))
        args |= {f"w{k}": engine.array(normal(k, shape)), f"g{k}": engine.array(normal(50 + k, shape))}
        states[f"h{k}"] = engine.array(np.ones((shape[0], 1), np.float32))
    engine.bind(nodes, args, states).forward()
    return [*args.values(), *states.values()]


def wide_rows(engine: Engine) -> list[Any]:
    """Rows of several blocks of elements, one of them of more blocks than a block of threads has teams."""
    return rows(engine, [(3, 8193), (4, 20000), (2, 140001)])


def row_states(engine: Engine) -> list[Any]:
    """One value per row that every thread of the row reads, and one of them overwrites."""

    def counted_update(weight: Tensor, grad: Tensor, count: RowState, *, lr: float) -> Updated:
        """A rate that falls with the steps that a row has seen."""
        count = count + 1
        return updated(weight - lr * grad / count, count=count)

    if "counted_update" not in OPS:
        update_op(counted_update)
    nodes, args, states = [], dict[str, Any](), dict[str, Any]()
    for k, shape in enumerate([(41, 64), (3, 9000)]):
        w, g, c = (sym.var(f"{name}{k}") for name in "wgc")
        nodes.append(sym.counted_update(w, g, c, lr=0.1, out=w))
        args |= {f"w{k}": engine.array(normal(k, shape)), f"g{k}": engine.array(normal(50 + k, shape))}
        states[f"c{k}"] = engine.array(np.ones((shape[0], 1), np.float32))
    engine.bind(nodes, args, states).forward()
    return [*args.values(), *states.values()]


def cancelling(n_rows: int, cols: int) -> np.ndarray:
    """Rows whose sum depends on the order of blocks even in double precision: huge, its opposite, and the rest."""
    x = normal(cols, (n_rows, cols))
    if cols > 2 * BLOCK:
        x[:, 0], x[:, BLOCK] = 1e25, -1e25
    return x


def extremes(engine: Engine) -> list[Any]:
    """Largest and smallest of numbers among which zeros of both signs, or NaN, decide the order."""
    random = normal(4, (30, 301))
    zeros = np.copysign(np.float32(0), random)
    zeros[::7, 200] = np.nan
    x = sym.var("x")
    folds = [fold(x, axis=(1,), keepdims=True) for fold in (sym.max, sym.min)]
    nodes = [sym.max(x), sym.min(x), *(1 / (x + fold) for fold in folds)]
    found = []
    for values in (zeros, zeros[1:7], 1 + abs(random), -1 - abs(random)):
        found += engine.bind(nodes, {"x": engine.array(values)}).forward()
    return found


def row_sums(engine: Engine) -> list[Any]:
    """Sums of rows in which the order of blocks shows."""
    x = sym.var("x")
    return [*engine.bind(sym.sum(x, axis=(1,)), {"x": engine.array(cancelling(3, 40000))}).forward()]


# ---- whole tensors


def sums(engine: Engine) -> list[Any]:
    """More tensors than blocks of threads, of no, one and many blocks of elements; in two chunks, too."""
    sizes = [20000, 30000, 50001, 140001, 0, 1, 63, 64, 8193, 9000, 16385, 24600, 65, 8191, 8192]
    args = {f"x{k}": engine.array(cancelling(1, n)[0]) for k, n in enumerate(sizes)}
    executor = engine.bind([sym.sum(sym.var(name)) for name in args], args)
    first = list(executor.forward())
    executor._step.place_output(1, engine.array(np.zeros((), np.float32)))
    args["x1"] *= 2
    return [*first, *executor.forward()]


def entangled(a: Any, b: Any) -> list[Any]:
    """Updates of two arrays: the second needs the sum of what the first becomes, and what it was."""
    new = sym.sgd_update(a, b, lr=0.1, out=a)
    return [new, sym.sgd_update(b, a * sym.sum(new), lr=0.2, out=b)]


def copies(engine: Engine) -> list[Any]:
    """Arrays that cannot be written in place, and go through a buffer."""
    found = []
    for n, dtype, offset in (
        (4103, np.float16, 0),
        (5, np.float16, 2),
        (70, np.float32, 4),
        (3, np.float64, 0),
    ):
        a, b = sym.var("a"), sym.var("b")
        args = {
            "a": engine.array(normal(n, [n], dtype), offset),
            "b": engine.array(normal(n + 1, [n], dtype)),
        }
        executor = engine.bind(entangled(a, b), args)
        assert executor._step.program.copies
        executor.forward()
        other = engine.array(args["a"])
        executor.forward(a=other)
        found += [*args.values(), other]
    return found
