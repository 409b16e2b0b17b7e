"""The graphs of an owner: its share of the step that `so.compile` makes of all parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import sym
from ..arrays import Array
from ..canonical import BLOCK
from ..serial import tojson
from ..training import gradients as g
from ..training.graph import Entry, group
from ..training.groups import Group
from ..training.plan import Options, assemble, totals
from .cuts import Piece

Kinds = Mapping[str, str | None]  # by parameter: the dtype of its gradient, or None


def graphs(
    pieces: Sequence[Piece], kinds: Kinds, groups: Mapping[str, Group], options: Options, is_update: bool
) -> dict[str, Any]:
    """What an owner of these pieces learns of one kind of step: see Owner.learn."""
    stored = {p.name: None if kinds[p.name] is None else "default" for p in pieces}
    is_idle = not any(stored.values()) and (options.ema is None or not is_update)
    made: dict[str, Any] = {"update": None, "measure": None, "views": [], "gives": is_update}
    if not is_idle:
        made["update"] = tojson(assemble(stored, groups, options, is_update, is_part=True))
    if is_update and is_measured(options) and any(stored.values()):
        _measure([p for p in pieces if stored[p.name]], groups, options, made)
    return made


def is_measured(options: Options) -> bool:
    """Whether something must be known of all gradients before a step is taken."""
    return options.is_skipping or options.clip_global_norm is not None


def _measure(
    live: Sequence[Piece], groups: Mapping[str, Group], options: Options, made: dict[str, Any]
) -> None:
    """The graph "measure": whether all gradients are finite (1,), the sum of squares of each whole one (n,), then those
    of each block of each piece, as the canonical sum adds them up."""
    kinds = ("grad", "accumulator") if options.accumulate > 1 else ("grad",)
    entries, forms = {}, {}
    for k, piece in enumerate(live):
        for form in forms_of(piece, options):
            name = f"{k}.{form}"
            entries[name], forms[name] = Entry(name, groups[piece.name].update()), form
            made["views"] += [(f"{name}/{kind}", piece.name, form) for kind in kinds]
    grads = totals(entries, options)
    if options.accumulate > 1:
        grads = g.divided(grads, options.accumulate)
    outputs = [g.all_finite(grads)] if options.is_skipping else []
    if options.clip_global_norm is not None:
        grads = g.clipped(grads, options.clip_value, options.clip_norm)
        whole = [x for name, x in grads.items() if forms[name] == "whole"]
        outputs += [sym.multi_sum_sq(*whole)] if whole else []
        outputs += [sym.sum(sym.square(x), axis=1) for name, x in grads.items() if forms[name] != "whole"]
    made["measure"] = tojson(group(outputs))


def forms_of(piece: Piece, options: Options) -> list[str]:
    """How the gradient of a piece is read to be measured: as it is, or as whole blocks and the rest."""
    if piece.is_whole or options.clip_global_norm is None:
        return ["whole"]
    n = piece.stop - piece.start
    return ["blocks"] * (n >= BLOCK) + ["rest"] * (n % BLOCK > 0)


def partial_sums(live: Sequence[Piece], options: Options, found: Sequence[Array]) -> dict[str, Array]:
    """The sums of squares that an owner measured, by parameter: in the order of their blocks."""
    rest = list(found[1:] if options.is_skipping else found)
    forms = {p.name: forms_of(p, options) for p in live}
    whole = [n for n, f in forms.items() if f == ["whole"]]
    sums = {n: x.reshape(1) for n, x in zip(whole, rest.pop(0), strict=True)} if whole else {}
    for name, names in forms.items():
        if name not in sums:
            sums[name] = np.concatenate([rest.pop(0).reshape(-1) for _ in names])
    return sums


def factor(sums: Mapping[str, Sequence[Array]], bound: float) -> Array:
    """What the clip by the global norm multiplies all gradients by (1,), of the sums of squares of the pieces of each
    parameter: blocks are added in order in float64 and rounded once, as the canonical sum does."""
    dtype = next(iter(sums.values()))[0].dtype
    each = [np.cumsum(np.concatenate(parts).astype(np.float64))[-1] for parts in sums.values()]
    squares = np.array(each).astype(dtype)
    made = g.factor_of(sym.sqrt(sym.sum(sym.var("squares"))), bound)
    found: Array = made.bind(args={"squares": squares}).forward()[0]
    return found
