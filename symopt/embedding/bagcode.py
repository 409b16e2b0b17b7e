"""Sums over bags of rows, and gradients spread over the rows of bags, as LLVM IR.

A bag is what two neighbouring `offsets` enclose: numbers of rows in `index`. A bag's sum begins with its first row, to
which the others are added in order; a row's sum likewise begins with its first entry. With weights, an entry is its row
times its weight. At the end a sum is divided by the bag's divisor.

All widths are constants of the code: a sum stays in registers until its bag is complete, some columns at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

from ..backends.jit import compile_written
from ..codegen.functions import Function, Value
from ..codegen.values import Variable

TYPES = {"float32": "float", "float64": "double"}
_BYTES = {"float32": 4, "float64": 8}
_REGISTERS = 256  # bytes of a row that are summed at once
_LINE = 64  # bytes
_AHEAD = 8  # entries between the row that is added and the one that is fetched
PER_CHUNK, N_BAGS, GIVEN = 2, 3, 4  # words of a job, after its counter and the number of its chunks


@cache
def pool_code(dtype: str, width: int, is_weighted: bool) -> Callable[..., None]:
    """Sums of bags: takes a job and nothing (0), on any number of threads at once."""
    bags = _bags(dtype, width, is_weighted)
    return compile_written(bags, _shared(bags))["shared"]


@cache
def spread_code(dtype: str, width: int, is_weighted: bool) -> Callable[..., None]:
    """Gradients of bags to the sums of rows."""
    return compile_written(_spread(dtype, width, is_weighted))["spread"]


def _bags(dtype: str, width: int, is_weighted: bool) -> Function:
    """Sums of the bags from `begin` to before `end`. A row below 0 is zeros, of which `zeros` has some. `stride`: from
    row to row, in numbers. `is_divided`: whether there are divisors, (n_bags,)."""
    real = f"{TYPES[dtype]}[]"
    f = Function(
        "bags", begin="i64", end="i64", rows=real, stride="i64", index="i64[]", offsets="i64[]", zeros=real,
        weights=real, divisors=real, is_divided="i64", out=real,
    )  # fmt: skip
    begin, end, rows, stride, index, offsets, zeros, weights, divisors, is_divided, out = f.parameters
    last = offsets[end] - 1
    with f.loop(end, start=begin) as bag:
        first, stop = offsets[bag], offsets[bag + 1]
        for start, count in _blocks(dtype, width):
            total = f.variable(_all(f, real, "-0.0", count), _vector(real, count))
            with f.loop(stop, start=first) as e:
                later = index[_ahead(f, e, last)]
                _fetch(f, rows.place(later * stride + start), count, dtype)
                at = index[e]
                row = f.select(at < 0, zeros, rows.place(at * stride + start))
                _add(f, total, f.load(_vector(real, count), row), weights[e] if is_weighted else None)
            with f.when(first.equals(stop)):
                total.value = _all(f, real, "0.0", count)
            with f.when(is_divided.differs(0)):
                total.value = total.value / f.splat(divisors[bag], count)
            f.store(total.value, out.place(bag * width + start))
    return f


def _shared(bags: Function) -> Function:
    """Take chunks of bags off a job's counter until none is left. After `GIVEN` words come the arguments of `bags`."""
    f = Function("shared", job="i64[]", scratch="i64[]")
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


def _spread(dtype: str, width: int, is_weighted: bool) -> Function:
    """Add the gradient (n_bags, width) of each bag, times the entry's weight, to the sums of its entries' rows."""
    real = f"{TYPES[dtype]}[]"
    f = Function(
        "spread", n_bags="i64", grads=real, offsets="i64[]", index="i64[]", weights=real, sums=real,
    )  # fmt: skip
    n_bags, grads, offsets, index, weights, sums = f.parameters
    last = offsets[n_bags] - 1
    with f.loop(n_bags) as bag, f.loop(offsets[bag + 1], start=offsets[bag]) as e:
        _fetch(f, sums.place(index[_ahead(f, e, last)] * width), width, dtype, write=True)
        total, grad = sums.place(index[e] * width), grads.place(bag * width)
        for start, count in _blocks(dtype, width):
            vector, place = _vector(real, count), total.place(start)
            sum_ = f.variable(f.load(vector, place), vector)
            _add(f, sum_, f.load(vector, grad.place(start)), weights[e] if is_weighted else None)
            f.store(sum_.value, place)
    return f


def _blocks(dtype: str, width: int) -> Iterator[tuple[int, int]]:
    """Columns that are summed at once: the first, and how many."""
    most = _REGISTERS // _BYTES[dtype]
    for start in range(0, width, most):
        yield start, min(most, width - start)


def _vector(real: str, count: int) -> str:
    return f"<{count} x {real.removesuffix('[]')}>"


def _all(f: Function, real: str, number: str, count: int) -> Value:
    return f.splat(Value(f, real.removesuffix("[]"), number), count)


def _add(f: Function, total: Variable, row: Value, weight: Value | None) -> None:
    lanes = int(row.type[1:].split()[0])
    total.value += row if weight is None else row * f.splat(weight, lanes)


def _ahead(f: Function, entry: Value, last: Value) -> Value:
    ahead = entry + _AHEAD
    return f.select(ahead < last, ahead, last)


def _fetch(f: Function, row: Value, count: int, dtype: str, write: bool = False) -> None:
    """Ask for the cache lines of `count` numbers."""
    for k in (*range(0, count, _LINE // _BYTES[dtype]), count - 1):
        f.prefetch(row.place(k), write)
