"""Graphs and arrays in files, for tests of the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import symopt as so
from symopt import sym

HOSTILE = "w\x1b[31m\x07\n[bold]\u202e<b>"  # sets a colour, rings, ends the line, turns it, marks it up


def adam(lr: float = 0.1, **attrs: Any) -> so.Symbol:
    w, g, m, v = (sym.var(name) for name in "wgmv")
    return sym.adam_update(w, g, m, v, lr=lr, out=w, name="fc1", **attrs)


def rows() -> so.Symbol:
    e, g, h = (sym.var(name) for name in ("table", "grad", "history"))
    return sym.group_adagrad_update(e, g, h, lr=0.5, out=e, name="rows")


def clipped() -> so.Symbol:
    """Two layers whose gradients are scaled by the norm of both, in half precision with a float32 copy."""
    grads = [sym.var(f"g{k}") for k in range(2)]
    scale = 1.0 / sym.maximum(sym.sqrt(sym.sum(sym.multi_sum_sq(*grads))), 1.0)
    heads = []
    for k, g in enumerate(grads):
        w, m, v, master = (sym.var(f"{name}{k}") for name in ("w", "m", "v", "master"))
        rule = sym.mp_adam_update
        heads.append(rule(w, g, m, v, master, lr=0.1, rescale_grad=scale, out=w, name=f"fc{k}"))
    return sym.Group(heads)


def muon() -> so.Symbol:
    w = sym.var("w")
    return sym.torch_muon_update(w, sym.var("g"), sym.var("m"), lr=0.1, out=w, name="u")


def hostile() -> so.Symbol:
    w = sym.var(HOSTILE)
    return sym.sgd_update(
        w, sym.var("g"), lr=0.1, out=w, name=HOSTILE + "2", attr={"__mood__": "\x1b]0;title\x07"}
    )


def many(count: int, first: int = 0) -> so.Symbol:
    heads = []
    for k in range(first, first + count):
        w, g, m, v = (sym.var(f"{name}{k}") for name in "wgmv")
        heads.append(sym.adam_update(w, g, m, v, lr=0.1, out=w))
    return sym.Group(heads)


MXNET1 = {
    "nodes": [
        {"op": "null", "name": "weight", "attr": {"lr_mult": "2"}, "inputs": []},
        {"op": "null", "name": "grad", "inputs": []},
        {"op": "null", "name": "mom", "inputs": []},
        {
            "op": "sgd_mom_update",
            "name": "u",
            "param": {"lr": "0.1", "momentum": "0.9"},
            "inputs": [[0, 0], [1, 0], [2, 0]],
        },
    ],
    "arg_nodes": [0, 1, 2],
    "heads": [[3, 0]],
}


def write_all(folder: Path) -> None:
    """All of the above as files."""
    makers = {"adam": adam, "rows": rows, "clipped": clipped, "muon": muon, "hostile": hostile}
    with so.NameManager():
        for name, make in makers.items():
            make().save(folder / f"{name}.json")
        adam(lr=0.2, clip_gradient=1.0).save(folder / "adam2.json")
    (folder / "mxnet1.json").write_text(json.dumps(MXNET1))
    one = np.ones(4, np.float32)
    np.savez(folder / "adam.npz", w=one, g=one, m=0 * one, v=0 * one)
    table = np.ones((5, 2), np.float32)
    parts: Any = {"grad.data": table[:2], "grad.indices": np.array([4, 1]), "grad.shape": np.array([5, 2])}
    np.savez(folder / "rows.npz", table=table, history=np.zeros((5, 1), np.float32), **parts)
