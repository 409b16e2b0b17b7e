"""The configuration of a table as plain data, that another process makes the same table of. No code is in it: a rule is
the JSON of its update, and functions are names of what can be imported."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from .. import sym
from ..attrs import REQUIRED
from ..embedding.compressors import CLASSES as COMPRESSORS
from ..embedding.compressors import Compressor
from ..embedding.initializers import CLASSES as INITIALIZERS
from ..embedding.initializers import Custom, Initializer
from ..embedding.kinds import config_of, from_config
from ..embedding.segment import Segment
from ..errors import AttributeValueError, MismatchError
from ..forms import op_of
from ..opdef import OPS, OpDef
from ..serial import load_json
from ..training.hyper import describe, described_as
from .meaning import code_digest, formula_lines
from .named import name_of, named

_PLAIN = ("dim", "weight_decay", "decay", "clock", "dtype", "n_blocks", "rounds_to_float16")


def segment_spec(segment: Segment, what: str) -> dict[str, Any]:
    """A segment as plain data. Functions of the step are only said to be there: their numbers come with each batch.
    AttributeValueError for functions that other processes can't import."""
    rate = segment.learning_rate
    schedules = {name: describe(value) for name, value in segment.attrs.items() if callable(value)}
    schedules |= {"learning_rate": describe(rate)} if callable(rate) else {}
    return {
        **{name: getattr(segment, name) for name in _PLAIN},
        "rule": _rule(segment),
        "module": _module(segment.op),
        "formula": formula_lines(segment.op, {n: x for n, x in segment.attrs.items() if not callable(x)}),
        "attributes": [*segment.attrs],
        "schedules": schedules,
        "learning_rate": None if rate is None or callable(rate) else float(rate),
        "initial": {k: x if isinstance(x, str) else float(x) for k, x in segment.initial.items()},
        "initializer": _first(segment.initializer, f"{what}: its initializer"),
        "code": code_digest(first.function) if isinstance(first := segment.initializer, Custom) else None,
        "compressor": _code(segment.compressor, f"{what}: its compressor"),
    }


def segment_of(spec: Mapping[str, Any], what: str) -> Segment:
    """The segment that a spec describes. Its functions of the step can't be asked: their numbers come with batches."""
    if spec["module"]:
        named(spec["module"], f"{what}: its rule")
    node = load_json(spec["rule"])._outputs[0]
    asked = {name: _unasked(text) for name, text in spec["schedules"].items()}
    given = [name for name in spec["attributes"] if name not in asked]
    attrs: dict[str, Any] = {name: node.attrs[name] for name in given if name in node.attrs}
    rate = asked.pop("learning_rate", spec["learning_rate"])
    return Segment(
        rule=op_of(node),
        learning_rate=rate,
        initializer=_made(INITIALIZERS, spec["initializer"], f"{what}: its initializer"),
        compressor=_made(COMPRESSORS, spec["compressor"], f"{what}: its compressor"),
        initial=spec["initial"],
        **{name: spec[name] for name in _PLAIN},
        **attrs,
        **asked,
    )


def _unasked(text: str) -> Any:
    """What stands for a function of the step, and is described as it is."""

    def refuse(done: int) -> float:
        raise AttributeValueError(f"{text} is asked where batches are made, not at shards")

    return described_as(refuse, text)


def table_spec(table: Any, window: int) -> dict[str, Any]:
    """What shards are told of a ShardedTable. `window`: steps that a shard holds back at most."""
    return {
        "segments": [segment_spec(s, f"{table.name}: segment {k}") for k, s in enumerate(table.segments)],
        "duplicates": table.duplicates,
        "seed": table.seed,
        "engine": table.engine,
        "window": window,
    }


def check_table(name: str, own: Mapping[str, Any], other: Mapping[str, Any], where: str) -> None:
    """MismatchError that lists what differs between two specs of a table: all but learning rates, which may be others,
    and what formulas say, which may have got another version."""
    lines = differing(*([_lasting(each) for each in spec["segments"]] for spec in (own, other)))
    for what in ("duplicates", "seed"):
        if own[what] != other[what]:
            lines.append(f"{what} is {own[what]!r}, and {other[what]!r} there")
    if lines:
        listed = "".join(f"\n    {line}" for line in lines)
        raise MismatchError(f"{name} is another table {where}:{listed}")


def _lasting(segment: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: x for name, x in segment.items() if name not in ("learning_rate", "formula", "code")}
    return found | {"schedules": {k: x for k, x in segment["schedules"].items() if k != "learning_rate"}}


def differing(own: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines that say where two lists of specs differ, such as "segment 0: rule is ..., and ... there"."""
    if len(own) != len(other):
        return [f"{len(own)} segments, and {len(other)} there"]
    return [
        f"segment {k}: {line}"
        for k, (mine, theirs) in enumerate(zip(own, other, strict=True))
        for name in {**mine, **theirs}
        if mine.get(name) != theirs.get(name)
        for line in _said(name, mine.get(name), theirs.get(name))
    ]


def _said(name: str, mine: Any, theirs: Any) -> Iterator[str]:
    """Lines that say how one entry of a spec differs."""
    if name == "formula" and mine and theirs:
        both = zip_longest(mine, theirs, fillvalue="nothing")
        first = next((a, b) for a, b in both if a != b)
        yield f"the formula of the rule has {first[0]!r}, and {first[1]!r} there"
    elif name == "rule" and mine and theirs:
        nodes = [json.loads(text)["nodes"][-1] for text in (mine, theirs)]
        ops, attrs = [node["op"] for node in nodes], [node.get("attrs", {}) for node in nodes]
        if ops[0] != ops[1]:
            yield f"the rule is {ops[0]}, and {ops[1]} there"
            return
        for key in {**attrs[0], **attrs[1]}:
            if attrs[0].get(key) != attrs[1].get(key):
                yield f"{key} is {attrs[0].get(key)}, and {attrs[1].get(key)} there"
    else:
        yield f"{name} is {mine!r}, and {theirs!r} there"


def _rule(segment: Segment) -> str:
    """The JSON of the op's node. What is asked at each step has a number in it that nobody reads."""
    op = segment.op
    given: dict[str, Any] = {name: 1.0 for name, attr in op.attrs.items() if attr.default is REQUIRED}
    given |= {name: value for name, value in segment.attrs.items() if not callable(value)}
    made = getattr(sym, op.name)(*(sym.var(i.name) for i in op.inputs), name="rule", **given)
    text: str = made.tojson()
    return text


def _module(op: OpDef) -> str | None:
    """Where an op of the user's is defined; None for those of symopt."""
    base = OPS.get(op.name, op).formula
    module = base.__module__
    if module.startswith("symopt."):
        return None
    name_of(base, f"the rule {op.name}")
    return f"{module}:{base.__qualname__}"


def _first(x: Initializer | Custom, what: str) -> dict[str, Any]:
    if isinstance(x, Custom):
        return {"function": name_of(x.function, what)}
    if not isinstance(x, tuple(INITIALIZERS)):
        raise AttributeValueError(f"{what} is {x!r}: only so.embedding.initializers and functions are sent")
    return config_of(x)


def _code(x: Compressor, what: str) -> dict[str, Any]:
    if not isinstance(x, tuple(COMPRESSORS)):
        raise AttributeValueError(f"{what} is {x!r}: only so.embedding.compressors are sent")
    return config_of(x)


def _made(classes: Any, config: Mapping[str, Any], what: str) -> Any:
    if "function" in config:
        return Custom(named(config["function"], what))
    return from_config(classes, config, what)
