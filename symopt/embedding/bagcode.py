"""Sums over bags of rows, and gradients spread over the rows of bags, as LLVM IR.

A bag is what two neighbouring `offsets` enclose: numbers of rows in `index`. A bag's sum begins with its first row, to
which the others are added in order; a row's sum likewise begins with its first entry. With weights, an entry is its row
times its weight. At the end a sum is divided by the bag's divisor.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from ..backends.jit import compile_written
from ..codegen.functions import Function, Value

TYPES = {"float32": "float", "float64": "double"}
_AHEAD = 8  # entries between the row that is added and the one that is fetched
PER_CHUNK, N_BAGS, GIVEN = 2, 3, 4  # words of a job, after its counter and the number of its chunks


@cache
def code() -> dict[str, Callable[..., None]]:
    """`pool_*`, with a job and nothing (0), on any number of threads at once; `spread_*`. For each dtype."""
    functions = []
    for dtype in TYPES:
        bags = _bags(dtype)
        functions += [bags, _pool(dtype, bags), _spread(dtype)]
    return compile_written(*functions)


def _bags(dtype: str) -> Function:
    """Sums of the bags from `begin` to before `end`. A row below 0 is zeros, of which `zeros` has some. `stride`: from
    row to row, in numbers. `is_weighted`, `is_divided`: whether there are weights, (n,), and divisors, (n_bags,)."""
    real = f"{TYPES[dtype]}[]"
    f = Function(
        f"bags_{dtype}", begin="i64", end="i64", rows=real, stride="i64", index="i64[]", offsets="i64[]",
        width="i64", zeros=real, weights=real, is_weighted="i64", divisors=real, is_divided="i64", out=real,
    )  # fmt: skip
    begin, end, rows, stride, index, offsets, width, zeros, weights, is_weighted, divisors, is_divided, out = (
        f.parameters
    )
    last = offsets[end] - 1
    with f.loop(end, start=begin) as bag:
        total = out.place(bag * width)
        with f.loop(width) as j:
            total[j] = _number(f, "-0.0", total)
        with f.loop(offsets[bag + 1], start=offsets[bag]) as e:
            ahead = e + _AHEAD
            later = index[f.select(ahead < last, ahead, last)]
            _fetch(f, rows.place(later * stride), width, dtype)
            at = index[e]
            row = f.select(at < 0, zeros, rows.place(at * stride))
            with f.when(is_weighted.differs(0)):
                _add(f, total, row, width, weights[e])
            with f.otherwise():
                _add(f, total, row, width)
        with f.when(offsets[bag].equals(offsets[bag + 1])), f.loop(width) as j:
            total[j] = _number(f, "0.0", total)
        with f.when(is_divided.differs(0)), f.loop(width) as j:
            total[j] = _quotient(f, total[j], divisors[bag])
    return f


def _pool(dtype: str, bags: Function) -> Function:
    """Take chunks of bags off a job's counter until none is left. After `GIVEN` words come the arguments of `bags`."""
    f = Function(f"pool_{dtype}", job="i64[]", scratch="i64[]")
    job = f.parameters[0]
    per, n_bags = job[PER_CHUNK], job[N_BAGS]
    given = [
        f.pointer(job[GIVEN + k], p.element) if p.element else job[GIVEN + k]
        for k, p in enumerate(bags.parameters[2:])
    ]
    with f.forever():
        chunk = f.take(job)
        with f.when(chunk >= job[1]):
            f.leave()
        begin = chunk * per
        stop = begin + per
        f.call(bags, begin, f.select(stop < n_bags, stop, n_bags), *given)
    return f


def _spread(dtype: str) -> Function:
    """Add the gradient (n_bags, width) of each bag, times the entry's weight, to the sums of its entries' rows; `seen`
    says which sum has been begun."""
    real = f"{TYPES[dtype]}[]"
    f = Function(
        f"spread_{dtype}", n_bags="i64", grads=real, offsets="i64[]", index="i64[]", width="i64", weights=real,
        is_weighted="i64", sums=real, seen="i8[]",
    )  # fmt: skip
    n_bags, grads, offsets, index, width, weights, is_weighted, sums, seen = f.parameters
    with f.loop(n_bags) as bag:
        grad = grads.place(bag * width)
        with f.loop(offsets[bag + 1], start=offsets[bag]) as e:
            at = index[e]
            total = sums.place(at * width)
            with f.when(seen[at].equals(0)):
                seen[at] = 1
                with f.loop(width) as j:
                    total[j] = _number(f, "-0.0", total)
            with f.when(is_weighted.differs(0)):
                _add(f, total, grad, width, weights[e])
            with f.otherwise():
                _add(f, total, grad, width)
    return f


def _add(f: Function, total: Value, row: Value, width: Value, weight: Value | None = None) -> None:
    with f.loop(width) as j:
        total[j] = total[j] + (row[j] if weight is None else row[j] * weight)


def _fetch(f: Function, row: Value, width: Value, dtype: str) -> None:
    """Ask for the cache lines of a row."""
    with f.loop(width, step=64 // (4 if dtype == "float32" else 8)) as j:
        f.prefetch(row.place(j))


def _number(f: Function, text: str, like: Value) -> Value:
    return Value(f, like.element, text)


def _quotient(f: Function, a: Value, b: Value) -> Value:
    return f.let(f"fdiv {a.type} {a.name}, {b.name}", a.type)
