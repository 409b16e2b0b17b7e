"""The tables of the pages on migration, read off the ops. `python docs/site/tables.py` writes them into the pages.

A page has `<!-- table NAME, made by docs/site/tables.py -->` where a table goes, and `<!-- end -->` below it.
"""

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path, PurePath
from typing import NamedTuple

import symopt as so
from symopt.embedding import entry
from symopt.forms import find_op
from symopt.opdef import STORAGE_ATTRS, OpDef
from symopt.show import sheet
from symopt.show.compare import AttributeDifference
from symopt.show.pages import own_ops

PAGES = Path(__file__).parents[1] / "migration"
PLACE = re.compile(r"(?<=<!-- table )(\w+)(, made by docs/site/tables.py -->\n).*?(?=<!-- end -->)", re.S)
WHOLE = {
    "_lamb_update": "_multi_lamb_update",
    "_lans_update": "_multi_lans_update",
}  # MXNet has them for several only
LONGEST = 110  # of a line shown in a cell


class Class(NamedTuple):
    """A class of Keras's, what it is told, and the op that does its work, without prefix and `_update`."""

    name: str
    told: str
    kind: str


CLASSES = [
    Class("SGD", "", "sgd"),
    Class("SGD", "momentum > 0", "momentum"),
    Class("SGD", "momentum > 0, nesterov=True", "nesterov"),
    Class("Adagrad", "", "adagrad"),
    Class("Adadelta", "", "adadelta"),
    Class("Adam", "", "adam"),
    Class("Adam", "amsgrad=True", "amsgrad"),
    Class("AdamW", "", "adamw"),
    Class("Adamax", "", "adamax"),
    Class("Nadam", "", "nadam"),
    Class("RMSprop", "", "rmsprop"),
    Class("RMSprop", "momentum > 0", "rmsprop_mom"),
    Class("RMSprop", "centered=True", "centered_rmsprop"),
    Class("RMSprop", "centered=True, momentum > 0", "centered_rmsprop_mom"),
    Class("Ftrl", "", "ftrl"),
    Class("Ftrl", "learning_rate_power given", "ftrl_power"),
    Class("Lion", "", "lion"),
    Class("Lamb", "", "lamb"),
    Class("ScheduleFreeAdamW", "", "schedule_free_adamw"),
    Class("Adafactor", "two axes or more", "adafactor"),
    Class("Adafactor", "fewer axes", "adafactor_vector"),
    Class("Muon", "matrices", "muon"),
]
# MXNet's op for the same rule, where there is one.
BARE = {
    "sgd": "sgd", "momentum": "sgd_mom", "nesterov": "nag_mom", "adagrad": "adagrad", "adam": "adam", "adamw": "adamw",
    "rmsprop": "rmsprop", "ftrl": "ftrl", "lamb": "lamb",
}  # fmt: skip


def filled(text: str) -> str:
    """The page with its tables made anew."""
    return PLACE.sub(lambda m: m[1] + m[2] + "\n" + "\n".join(TABLES[m[1]]()) + "\n\n", text)


def keras_classes() -> Iterator[str]:
    """Each class with its ops."""
    yield from _head("class", "Keras of TF 2", "Keras 3", "defaults of Keras 3", "states")
    for name, told, kind in CLASSES:
        old, new = (find_op(f"{prefix}_{kind}_update") for prefix in ("keras", "keras3"))
        assert new is not None
        alike = "the same op" if new is old else _link(new)
        states = ", ".join(f"`{state}`" for state in new.states)
        yield _row(f"`{name}`" + (f", {told}" if told else ""), _link(old), alike, _defaults(new), states)


def keras_generations() -> Iterator[str]:
    """What Keras 3 changed: lines and defaults."""
    yield from _head("TF 2", "Keras 3", "what differs")
    for *_, kind in CLASSES:
        old, new = (find_op(f"{prefix}_{kind}_update") for prefix in ("keras", "keras3"))
        if old is not None and new is not None and old is not new:
            yield _row(_link(old), _link(new), _differences(old, new))


def keras_and_mxnet() -> Iterator[str]:
    """The bare op beside Keras's."""
    yield from _head("MXNet's", "Keras 3's", "what differs")
    for kind, bare in BARE.items():
        first, second = find_op(f"{bare}_update"), find_op(f"keras3_{kind}_update")
        assert first is not None and second is not None
        yield _row(_link(first), _link(second), _differences(first, second))


def mxnet_ops() -> Iterator[str]:
    """MXNet's update ops: names, and whether versions 1 and 2 mean the same."""
    yield from _head("op", "MXNet's other names", "MXNet 1")
    others = ("keras", "torch", "monolith", "mxnet1", "fed")
    for op in own_ops():
        if op.is_update and not op.name.startswith(others):
            names = ", ".join(f"`{WHOLE.get(n, n)}`" for n in sheet.names_of(op) if not n.startswith(others))
            yield _row(_link(op), names, _in_version_1(op))


def monolith_optimizers() -> Iterator[str]:
    """Monolith's optimizers: arguments with what they are if not given, the op, and how much state it has."""
    yield from _head("class", "arguments", "op", "numbers of state per row of 16")
    for name in entry.__all__:
        cls = getattr(entry, name)
        if isinstance(cls, type) and issubclass(cls, entry.Optimizer) and cls.kind:
            made = cls()
            op = find_op(f"{made.rule}_update")
            given = ", ".join(f"{f.name}={getattr(made, f.name)!r}" for f in fields(made))
            yield _row(f"`{name}`", f"`{given}`", _link(op), str(made.state_floats(16)))


def _in_version_1(op: OpDef) -> str:
    old = find_op(f"mxnet1_{op.name}")
    if old is None:
        return "has no such op"
    return "the same" if old is op else f"{_link(old)}: {_differences(op, old)}"


# ---- cells


def _differences(first: OpDef, second: OpDef) -> str:
    """Defaults and lines in which two ops differ; what only one of them has."""
    found = so.rules.diff(first.name, second.name, steps=1)
    storage = {attr.name for attr in STORAGE_ATTRS} - {"lazy_update"}
    parts = [_attribute(a) for a in found.attributes if a.name not in storage]
    parts += [f"state `{ours}` is `{theirs}`" for ours, theirs in found.inputs if ours != theirs]
    for names, which in ((found.only_first, "without"), (found.only_second, "with")):
        if names:
            parts.append(f"{which} {', '.join(f'`{n}`' for n in names)}")
    for line in found.lines:
        if line.verdict == "different":
            short = max(len(line.first), len(line.second)) <= LONGEST
            parts.append(
                f"{_code(f'{line.name} = {line.first}')} → {_code(line.second)}"
                if short
                else f"`{line.name}`"
            )
    return "<br>".join(parts) or "nothing"


def _attribute(found: AttributeDifference) -> str:
    name = f"`{found.name}`" + (f" is `{found.second_name}`" if found.second_name != found.name else "")
    return name + (f" {found.first} → {found.second}" if found.first != found.second else "")


def _code(text: str) -> str:
    """Code in a cell of a table."""
    return f"<code>{text.replace('|', '&#124;')}</code>" if "|" in text else f"`{text}`"


def _defaults(op: OpDef) -> str:
    found = {a.name: sheet.shown(a) for a in sheet.own_attributes(op) if a.name != "lazy_update"}
    return ", ".join(f"`{name}` {value}" for name, value in found.items() if value != "required")


def _link(op: OpDef | None) -> str:
    return f"[`{op.name}`](../ops/{PurePath(op.where.file).stem}.md#{op.name.lower()})" if op else ""


def _head(*names: str) -> list[str]:
    return [_row(*names), "|---" * len(names) + "|"]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


TABLES = {
    t.__name__: t for t in (keras_classes, keras_generations, keras_and_mxnet, mxnet_ops, monolith_optimizers)
}

if __name__ == "__main__":
    for page in sorted(PAGES.glob("*.md")):
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
