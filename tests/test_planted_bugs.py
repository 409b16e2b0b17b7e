"""Bugs planted in the CUDA templates and in the tables of launches: the emulator must show every one.

A line of code of which no bug is ever caught is not tested. Left out, since nobody can see them: a loop that goes on to
`j == stop` (it takes no element there), parts of a wide row after its end (each is the identity of the fold), `lane 1`
of a team as the one that keeps its part (all have it), and `finish` without the gate (it makes of the same parts the
same sums).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from planted import Bug, main
from planted_tables import (
    ALIGNED,
    as_copied,
    as_many_entries,
    as_numbered,
    as_placed,
    as_summed,
    fields_bug,
    parts_apart,
    shared_numbers,
    table_bug,
    whole_chunks,
)

from symopt.backends.cuda import geometry
from symopt.backends.cuda.engine import CudaEngine

HERE = Path(__file__).parent


def swap(old: str, new: str, *more: tuple[str, str]) -> Bug:
    """One text in place of another, in all the code of the workload that has it."""
    return Bug(((old, new), *more))


BUGS: dict[str, dict[str, Bug]] = {
    "elements": {
        "vectors of what is not aligned": swap("(; aligned && j + 4 <= count;", "(; j + 4 <= count;"),
        "a last vector beyond the end": swap("aligned && j + 4 <= count", "aligned && j < count"),
        "vectors skipped": swap("j + 4 <= count; j += THREADS * 4", "j + 4 <= count; j += THREADS * 8"),
        "vectors taken twice": swap("j + 4 <= count; j += THREADS * 4", "j + 4 <= count; j += THREADS * 2"),
        "ends taken twice": swap("(; j < count; j += THREADS * 4", "(; j < count; j += THREADS"),
        "one too many at the end": swap("(int)(count - j) : 4", "(int)(count - j) + 1 : 4"),
        "one too few at the end": swap("(int)(count - j) : 4", "(int)(count - j) - 1 : 4"),
        "store_some of one too many": swap("if (k < n) store_one", "if (k <= n) store_one"),
        "load_some of one too few": swap("if (k < n) v.x[k]", "if (k + 1 < n) v.x[k]"),
        "the wrong first element": swap("int j = threadIdx.x * 4", "int j = threadIdx.x * 4 + 4"),
        "chunks skipped": swap("c += gridDim.x", "c += gridDim.x + 1"),
        "chunks taken twice": swap("c += gridDim.x", "c++"),
        "every block from chunk 0": swap("int c = blockIdx.x", "int c = 0"),
        "numbers of another tensor": swap("tensor * scalars.stride + k", "tensor + k"),
        "numbers of the first tensor": table_bug(shared_numbers, method="take_numbers"),
        "numbers by value that are in a table": swap("return scalars.table ?", "return false ?"),
        "the last chunk as long as others": table_bug(whole_chunks, geometry.Chunks, "__init__"),
        "chunks all at the start": fields_bug(p=lambda rows: rows["p"][:1]),
        "all called aligned": ALIGNED,
        "numbers of the step before": table_bug(as_numbered, method="take_numbers"),
        "arrays of the step before": table_bug(as_placed, method="point"),
    },
    "random_rounding": {
        "numbered from the chunk's start": swap("d.first + j + k", "j + k"),
        "rows numbered from the chunk's start": swap("row = d.first + r", "row = r"),
        "the first element of a chunk": fields_bug(first=lambda rows: rows["first"] + 1),
        "rows as if without others before": swap("at_element = row * cols", "at_element = row"),
        "elements not numbered": swap("at_element + j + k", "at_element + j"),
    },
    "functions": {
        "bfloat16 with ties away from zero": swap("0x7fffu + (high & 1u)", "0x8000u"),
        "bfloat16 cut off": swap("(0x7fffu + (high & 1u))", "0"),
        "bfloat16 of NaN rounded": swap("x != x ? high | 0x40u : ", ""),
        "bfloat16 of NaN cut off": swap("high | 0x40u", "high"),
        "another first factor": swap("0x7feb352du", "0x7feb352bu"),
        "another second factor": swap("0x846ca68bu", "0x846ca68du"),
        "another shift": swap("x ^ (x >> 15)", "x ^ (x >> 16)"),
        "the index cut to 32 bits": swap("(u32)((u64)index >> 32) * 0x9e3779b9u", "0u"),
        "no seed": swap(" ^ mix(bits_of(seed))", ""),
        "no salt": swap("bits_of(salt) * 0x85ebca6bu", "0u"),
        "mixed once": swap("x = mix(x + (u32)((u64)index", "x = (x + (u32)((u64)index"),
        "one bit less": swap("(float)(x >> 8)", "(float)(x >> 9)"),
        "zero's neighbour on the other side": swap("up ? 0x0001u : 0x8001u", "up ? 0x8001u : 0x0001u"),
        "minus zero as any number": swap("(bits & 0x7fffu) == 0", "bits == 0"),
        "zero as any number": swap("(bits & 0x7fffu) == 0", "bits == 0x8000u"),
        "neighbours of negative numbers": swap("up == (bits < 0x8000u)", "up"),
    },
    "rows": {
        "every team asks the whole warp": swap("mask = team_mask(team)", "mask = 0xffffffffu"),
        "the first team's lanes for all": swap("<< (threadIdx.x & 31u & ~(u32)(threads - 1))", "<< 0"),
        "threads folded from the near end": swap(
            "o = threads >> 1; o > 0; o >>= 1", "o = 1; o < threads; o <<= 1"
        ),
        "half of the threads not folded": swap("o = threads >> 1", "o = threads >> 2"),
        "lanes of a thread folded wrongly": swap("(lane[k], lane[k + s])", "(lane[k], lane[s])"),
        "lanes of a thread folded from the near end": swap(
            "s = V / 2; s > 0; s /= 2", "s = 1; s < V; s *= 2"
        ),
        "lanes one element off": swap("i64 j = start + t * 4", "i64 j = start + t * 4 + (t > 0)"),
        "the fold from the wrong place": swap("i64 j = start + t * 4", "i64 j = start + lane / 2 * 4"),
        "the fold with another stride": swap("j + 4 <= stop; j += team * 4", "j + 4 <= stop; j += 32"),
        "a row's end cut off": swap("(int)(stop - j) : 4", "(int)(stop - j) - 1 : 4"),
        "rows not aligned": swap("(; aligned && j + 4 <= stop;", "(; j + 4 <= stop;"),
        "rows written that are not aligned": swap("(; aligned && j + 4 <= cols;", "(; j + 4 <= cols;"),
        "a row too many": swap("r < d.n;", "r <= d.n;"),
        "rows skipped": swap("r += THREADS >> d.shift", "r += THREADS"),
        "rows taken twice": swap("r += THREADS >> d.shift", "r += (THREADS >> d.shift) / 2"),
        "states of rows of one thread not stored": swap("if (lane == 0) {", "if (lane == 1) {"),
        "the state of another row": swap("history_2 = (float*)d.p[2] + r", "history_2 = (float*)d.p[2]"),
        "the row's elements by other threads": swap("i64 j = (i64)lane * 4", "i64 j = (i64)t * 8"),
        "all called aligned": ALIGNED,
        "more threads than the row's": fields_bug(shift=lambda rows: rows["shift"] + 1),
        "fewer threads than the row's": fields_bug(shift=lambda rows: np.maximum(rows["shift"] - 1, 0)),
    },
    "wide_rows": {
        "parts read before they are there": swap(
            "parts1_0[part] = block1_0;\n__syncthreads();", "parts1_0[part] = block1_0;"
        ),
        "parts written while they are read": swap(
            "(double)parts1_0[q]);\n__syncthreads();", "(double)parts1_0[q]);"
        ),
        "parts in float": swap(
            "total1_0 = Add::of(total1_0, (double)parts1_0[q])",
            "total1_0 = (float)Add::of(total1_0, (double)parts1_0[q])",
        ),
        "the last part forgotten": swap("q < parts &&", "q < parts - 1 &&"),
        "parts from the second": swap("for (int q = 0;", "for (int q = 1;"),
        "every round from the row's start": swap("start = round + (i64)part", "start = (i64)part"),
        "one round only": swap("round < cols; round +=", "round < 1; round +="),
        "every part to the row's end": swap(
            "stop = cols - start < BLOCK ? cols : start + BLOCK", "stop = cols"
        ),
        "every part from its round's start": swap("i64 j = start + t * 4", "i64 j = round + t * 4"),
        "lanes of a thread more": swap("team = wide ? 16", "team = wide ? 32"),
        "lanes of a thread less": swap("team = wide ? 16", "team = wide ? 8"),
    },
    "row_states": {
        "stored while others read": swap("team_sync(wide, mask);\nif", "if"),
        "only the team waits": swap("if (wide)\n__syncthreads();", "if (false)\n__syncthreads();"),
        "short rows do not wait": swap("__syncwarp(mask);", ";"),
        "the whole warp waits": swap("__syncwarp(mask);", "__syncwarp(0xffffffffu);"),
        "every thread counts": swap(
            "if (lane == 0) {", "if (true) {", ("new_count_2 = r", "new_count_2 = lane + r")
        ),
    },
    "extremes": {
        "the first of equals, max": swap("a > b ||", "a >= b ||"),
        "the first of equals, min": swap("a < b ||", "a <= b ||"),
        "NaN lost, max": swap("a > b || a != a ?", "a > b ?"),
        "NaN lost, min": swap("a < b || a != a ?", "a < b ?"),
        "operands in one order": swap("t & o ? F::of(other, lane[k]) : ", ""),
        "operands in the other order": swap("F::of(lane[k], lane[k + s])", "F::of(lane[k + s], lane[k])"),
        "elements in the other order": swap("Max::of(lane1_0[k], f0)", "Max::of(f0, lane1_0[k])"),
        "elements after the row's end": swap("if (k >= n) break;", "if (k > n) break;"),
        "from zero": swap("0xff800000u", "0x00000000u"),
        "totals from zero": swap("0xfff0000000000000ull", "0x0000000000000000ull"),
    },
    "row_sums": {
        "parts from the last": swap(
            "(double)parts1_0[q])", "(double)parts1_0[(int)((cols - 1) / BLOCK) - q])"
        ),
    },
    "sums": {
        "blocks from the last": swap("(double)shared[k]", "(double)shared[count - 1 - k]"),
        "blocks of half the size": swap("#define BLOCK 8192", "#define BLOCK 4096"),
        "blocks in float": swap("total = F::of(total, ", "total = (float)F::of(total, "),
        "total of the last only": swap(
            "total = F::of(total, (double)shared[k])", "total = (double)shared[k]"
        ),
        "parts read before they are there": swap(
            "load_one(parts + i);\n__syncthreads();", "load_one(parts + i);"
        ),
        "parts written while they are read": swap("__syncthreads();\nif (i < n) shared", "if (i < n) shared"),
        "the last block missed": swap("? (int)left : THREADS", "? (int)left - 1 : THREADS"),
        "the last block missed by the host": table_bug(parts_apart, method="_make_partials"),
        "results where they were": table_bug(as_summed, method="point"),
        "parts of the next tensor": swap("? (int)left : THREADS", "? (int)left + 1 : THREADS"),
        "parts after the end": swap("if (i < n) shared", "shared"),
        "tensors skipped": swap("t += gridDim.x", "t += gridDim.x + 1"),
        "every tensor's first part": swap("folds[t * 1 + 0]", "folds[0]"),
        "blocks numbered from the chunk's start": swap("row = d.first + r", "row = r"),
        "every block whole": swap("d.cols - at_element < BLOCK ? d.cols - at_element : BLOCK", "BLOCK"),
        "every block the first": swap("(const float*)d.p[0] + r * BLOCK", "(const float*)d.p[0]"),
        "every block's result in one place": swap("(float*)d.p[1] + r;", "(float*)d.p[1];"),
    },
    "copies": {
        "vectors of what is not aligned": swap("(d.target | d.source) % 16 ? 0 : ", ""),
        "the end forgotten": swap("i < d.bytes / 2;", "i < d.bytes / 4;"),
        "the end from elsewhere": swap("i64 i = 8 * vectors + first;", "i64 i = 8 * vectors + 1 + first;"),
        "a vector too many": swap("i < vectors; i += step", "i <= vectors; i += step"),
        "vectors apart": swap("(u32*)d.target + 4 * i", "(u32*)d.target + 8 * i"),
        "copies of the step before": table_bug(as_copied, CudaEngine, "_point_copies"),
        "one copy only": swap("const Copy d = copies[c]", "const Copy d = copies[c + 1]"),
    },
    "lazy": {
        "entries read where they are not": swap("(order ? load_one(order + at) : at)", "at"),
        "repeated rows taken again": swap("load_one(rows + at - 1) == row) continue;", "false) continue;"),
        "of repeated rows the last taken": swap(
            "at > 0 && load_one(rows + at - 1)", "load_one(rows + at + 1)"
        ),
        "an entry before the first": swap("order && at > 0 && ", "order && "),
        "two entries of a row at most": swap("while (end < d.listed &&", "if (end < d.listed &&"),
        "entries looked for after the last": swap("while (end < d.listed && ", "while ("),
        "every entry but the last": swap("while (end < d.listed &&", "while (end + 1 < d.listed &&"),
        "sums from zero": swap("total.x[k] = v.x[k];", "total.x[k] = 0.0f + v.x[k];"),
        "the last entry only": swap("total.x[k] + v.x[k]", "v.x[k]"),
        "entries in the other order": swap(
            "(i64 i = at + 1; i < end; i++)",
            "(i64 i = end - 2; i >= at; i--)",
            ("load_one(order + at)", "load_one(order + end - 1)"),
        ),
        "rows counted as entries": swap("row = ahead", "row = at"),
        "the row after this one": swap("load_one(rows + at + teams)", "load_one(rows + at + 1)"),
        "every chunk's first entries": swap("at = d.first + r, ", "at = r, "),
        "all called aligned": ALIGNED,
        "as many entries as before": table_bug(as_many_entries, method="take_gradient"),
    },
    "standard": {
        "slots kept from the step before": swap("store_one((int*)s.slots + row, -1)", ""),
        "some slots kept": swap("row < s.n_rows; row += step", "row < s.n_rows - 1; row += step"),
        "any entry of a row marked": swap("i == 0 || load_one(rows + i - 1) != row", "true"),
        "the first entry not marked": swap("if (i == 0 || ", "if (i != 0 && "),
        "rows of the chunk's start": swap("(const int*)d.slots + row", "(const int*)d.slots + r / 2"),
        "rows without a gradient left alone": swap("if (at >= 0) {", "if (true) {"),
    },
    "refused": {
        "rows below zero": swap("row < 0 || ", ""),
        "one row too many": swap("row >= s.n_rows ||", "row > s.n_rows ||"),
        "any row": swap("row >= s.n_rows ||", ""),
        "no promise checked": swap("(s.ascending && ", "(false && "),
        "a promise where none was made": swap("(s.ascending && ", "("),
        "an index before the first": swap("s.ascending && i > 0 &&", "s.ascending &&"),
        "equal rows": swap("load_one(indices + i - 1) >= row", "load_one(indices + i - 1) > row"),
        "the last fault": swap(
            "if (wrong) atomicMin(gate, ", "if (wrong) *gate = (", ("(u64)i);", "(u64)i);")
        ),
        "the wrong gradient": swap("(u64)(g + 1) << ENTRY_BITS", "(u64)(2 - g) << ENTRY_BITS"),
        "no gate for kernels": swap(
            "Scalars scalars, const u64* gate) {\nif (gate && *gate != OPEN) return;",
            "Scalars scalars, const u64* gate) {",
        ),
        "no gate for mark": swap("u64* gate) {\nif (*gate != OPEN) return;", "u64* gate) {"),
        "no gate for copies": swap(
            "int count, const u64* gate) {\nif (gate && *gate != OPEN) return;",
            "int count, const u64* gate) {",
        ),
        "every thread counts the step": swap("if (first == 0) gate[1]", "gate[1]"),
        "steps not counted": swap("gate[1] = gate[1] + 1", ""),
        "the first gradient only": swap("for (int g = 0; g < count; g++) {", "for (int g = 0; g < 1; g++) {"),
        "entries skipped": swap("i < s.n; i += step", "i < s.n - 1; i += step"),
    },
}


@pytest.mark.parametrize("workload", BUGS)
@pytest.mark.slow
def test_planted_bugs_show(workload: str, cxx: None) -> None:
    """This file as a script tries the bugs of a workload, in a process without threads, which forks."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
    command = [sys.executable, str(HERE / "test_planted_bugs.py"), workload]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    assert {name: said for name, said in outcomes.items() if said != "caught"} == {}, done.stderr
    assert outcomes.keys() == BUGS[workload].keys()


if __name__ == "__main__":
    main(sys.argv[1], BUGS[sys.argv[1]])
