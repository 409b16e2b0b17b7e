"""The tables of docs/conformance.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from check import Outcome, Row
from compare import shown
from defects import DEFECTS, NOTES

HEAD = """\
# Conformance with the living systems

What symopt computes, compared with what the systems themselves compute. `make conformance` makes an environment for
each of them, writes graphs as files and arrays, has them executed there, and writes this page. It is no part of CI.

An error is the largest difference of any weight or state after several steps, relative to the element or to the mean
magnitude of its array. Numbers (rates, decays, bounds) are such that they are the same in float32, but in the column
*defaults*, where all that may be left out is: there 1 - 0.999 is another number in systems that keep it in float32.
float16 is rounded after every operation in MXNet, and once per op here. Words in the last column are explained below.
"""
MXNET = """\
Every graph is loaded by MXNet from `tojson()`, bound and stepped; where it cannot be bound, its nodes are executed one
by one with the same kernels (*op by op*). Names of arguments, states and outputs must agree, and the file that MXNet
saves must load as the same graph here: {files} of {cases} do.
"""
FILES = """
{count} files that MXNet wrote (`.params`, `.states`, with every dtype, sparse rows, optimizers, and pickles of all
protocols) are read by symopt and written again, and MXNet reads those: every bit, name and type must be the same, and
`.params` every byte."""
MAXIMUM_SHOWN = 20


def mxnet_section(
    title: str,
    system: str,
    updates: Sequence[Row],
    graphs: Sequence[Row],
    ordinary: Sequence[Row],
    more: Sequence[str],
) -> str:
    rows = [*updates, *graphs, *ordinary]
    cases = sum(len(row.outcomes) for row in rows)
    wrong = sum(
        any(d.endswith("same graph") or " there" in d for d in o.differences)
        for r in rows
        for o in r.outcomes
    )
    parts = [
        f"## {title}\n",
        MXNET.format(files=cases - wrong, cases=cases),
        _table("update op", updates),
        _table("graph", graphs),
        _table("ordinary ops", _grouped(ordinary)),
        _differences(rows),
        _list([*more, *NOTES[system]]),
    ]
    return "\n".join(part for part in parts if part)


CLASSES = """\
The classes `so.keras.optimizers` beside those of `tf_keras.optimizers.legacy`, two variables in one step: with clips,
decay, schedules, rows that occur more than once, a variable without gradient, and a rate set later. Names, order and
values of all weights, names of slots, and configurations must agree. For every class, and with schedules and decay,
each side takes the other's `get_weights()` by `set_weights()` after three steps, and makes the rest of them. In the
last column of numbers are defaults, schedules and Nadam, of which Keras keeps numbers in float32.
"""


def files_part(count: int, wrong: Sequence[str]) -> str:
    """Of the section of an MXNet: files of arrays and states."""
    text = FILES.format(count=count) + ("" if wrong else " They are.") + "\n"
    return text + _list(wrong[:MAXIMUM_SHOWN])


UPDATERS = {
    "mxnet1": """
Classes of 1.9.1 whose formulas are those of MXNet 2 (of AdaGrad and RMSProp for an epsilon near 0) step two weights by
an Updater, beside those of `so.optimizer`: weights, states and counts are compared. After three steps each side takes
over the other's states and weights and makes the other three: here with the optimizer that 1.9.1 saved beside them,
there with a new one, from `get_states(np_shape=False)`.
""",
    "mxnet2": """
The classes step two weights by an Updater, beside those of `so.optimizer`: plain, clipped and decayed, fused, in
float16 with float32 copies, with schedulers and factors of rates. Weights, states and counts are compared. After three
steps each side takes over the other's states, optimizer and weights, and makes the other three. Nadam has one weight:
of several, MXNet's makes one product. SGLD is random.
""",
}


def updaters_part(system: str, classes: Sequence[Row]) -> str:
    """Of the section of an MXNet: its optimizer classes."""
    table = _table("class", classes, dtypes=("float16", "float32"))
    return "\n".join(part for part in (UPDATERS[system], table, _differences(classes)) if part)


def keras_section(title: str, rows: Sequence[Row], missing: Sequence[str], classes: Sequence[Row]) -> str:
    intro = (
        "The optimizers of `tf_keras.optimizers.legacy` (`keras_` ops) and of Keras 3 on TensorFlow (`keras3_` ops)\n"
        "step a weight: with dense gradients, with `IndexedSlices`, and with rows that occur more than once. Keras 3\n"
        "does dense ones on JAX too.\n"
    )
    more = [f"`{name}`: symopt has no such op yet" for name in missing]
    table = _table("op", rows, dtypes=("float32", "float64"))
    parts = (f"## {title}\n", intro, table, _differences(rows), _list(more), CLASSES,
             _table("class", classes, dtypes=("float64",)), _differences(classes))  # fmt: skip
    return "\n".join(part for part in parts if part)


def keras3_part(count: int, different: Sequence[str]) -> str:
    """Of Keras's section: the classes of Keras 3."""
    text = (
        f"\nThe classes of `so.keras3.optimizers` step beside Keras 3's on JAX: {count} optimizers of two variables,\n"
        "with clips, decay, averages, accumulation and loss scales; weights and `variables` are compared, in order.\n"
        "After three steps each side takes over the other's variables (`set_weights` here, `load_own_variables`\n"
        "there), and makes the other three.\n"
    )
    return text + _list(different[:MAXIMUM_SHOWN])


def own_section(titles: Sequence[str], verdicts: Mapping[str, Sequence[str]]) -> str:
    """What each system does with files that say what it has no words for."""
    lines = [f"| file | {' | '.join(titles)} |", f"|---{'|---' * len(titles)}|"]
    lines += [f"| {name} | {' | '.join(found)} |" for name, found in verdicts.items()]
    return "## Files that are symopt's own\n\n" + "\n".join(lines) + "\n"


def defects_section(rows: Iterable[Row]) -> str:
    seen = {key for row in rows for key in row.defects}
    items = [f"**{d.key}**: {d.text}" for d in DEFECTS if d.key in seen]
    return "## Known defects and differences\n\n" + _list(items)


def _table(what: str, rows: Sequence[Row], dtypes: Sequence[str] = ("float16", "float32", "float64")) -> str:
    if not rows:
        return ""
    has_mode = {o.how for row in rows for o in row.outcomes} != {"stepped"}
    head = [what, *(["executed"] if has_mode else []), "cases", *dtypes, "defaults", "verdict"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in rows:
        name = row.name if " " in row.name else f"`{row.name}`"
        defaults = [e for d in ("float32", "float64") if (e := row.worst(d, exact=False)) is not None]
        errors = [shown(row.worst(d)) for d in dtypes] + [shown(max(defaults, default=None))]
        mode = [row.how] if has_mode else []
        lines.append(f"| {' | '.join([name, *mode, str(len(row.outcomes)), *errors, _verdict(row)])} |")
    return "\n".join(lines) + "\n"


def _verdict(row: Row) -> str:
    if row.differences:
        return f"**differs** ({len(row.differences)})"
    return f"agrees but for: {', '.join(row.defects)}" if row.defects else "agrees"


def _grouped(rows: Sequence[Row]) -> list[Row]:
    """Rows that agree, as one; the others as they are."""
    same = [row for row in rows if not row.differences and not row.defects]
    rest = [row for row in rows if row.differences or row.defects]
    outcomes: list[Outcome] = [o for row in same for o in row.outcomes]
    return ([Row(", ".join(f"`{row.name}`" for row in same), outcomes)] if same else []) + rest


def _differences(rows: Iterable[Row]) -> str:
    found = [d for row in rows for d in row.differences]
    return _list(
        found[:MAXIMUM_SHOWN] + [f"and {len(found) - MAXIMUM_SHOWN} more"] * (len(found) > MAXIMUM_SHOWN)
    )


def _list(items: Iterable[str]) -> str:
    return "".join(f"* {item}\n" for item in items)
