"""Runs in an environment of MXNet: steps of optimizers' classes by an Updater, and states that go to and fro.

    python in_mxnet_classes.py run FOLDER LIST

A case is CASE.json and CASE.npz with weights `w.NAME` and gradients `g.NAME@STEP`. The Updater steps; before the step
`swap` its states go to CASE.theirs.states. Then another Updater takes over CASE.ours.states with the weights
`w.NAME@swap`, and makes the rest of the steps: with its optimizer, if `is_whole`, else with a new one that counts on.
Into CASE.out.npz go `out.NAME@STEP`, `state.INDEX.K` and `swapped.NAME@STEP`.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore")

import mxnet as mx  # noqa: E402
import numpy as np  # noqa: E402


def make(case: dict[str, Any], count: int = 0) -> Any:
    """The optimizer of a case; `count`: of updates that are done."""
    given = dict(case["there"], begin_num_update=count)
    if case["schedule"]:
        name, arguments = case["schedule"]
        given["lr_scheduler"] = getattr(mx.lr_scheduler, name)(**arguments)
    optimizer = mx.optimizer.create(case["class"], param_idx2name=dict(enumerate(case["names"])), **given)
    optimizer.set_lr_mult(case["lr_mult"])
    optimizer.set_wd_mult(case["wd_mult"])
    return optimizer


def step(updater: Any, weights: list[Any], case: dict[str, Any], arrays: Any, k: int) -> None:
    grads = [mx.nd.array(g := arrays[f"g.{name}@{k}"], dtype=g.dtype) for name in case["names"]]
    if updater.aggregate_updates:
        updater(list(range(len(weights))), grads, weights)
    else:
        for index, (grad, weight) in enumerate(zip(grads, weights)):
            updater(index, grad, weight)


def leaves(state: Any) -> list[Any]:
    if isinstance(state, (list, tuple)):
        return [leaf for part in state for leaf in leaves(part)]
    return [] if state is None else [state]


def weights_of(case: dict[str, Any], arrays: Any, suffix: str = "") -> list[Any]:
    return [mx.nd.array(w := arrays[f"w.{name}{suffix}"], dtype=w.dtype) for name in case["names"]]


def results(case: dict[str, Any], arrays: Any, folder: Path, file: str) -> tuple[dict[str, Any], int]:
    updater, weights = mx.optimizer.get_updater(make(case)), weights_of(case, arrays)
    found: dict[str, Any] = {}
    for k in range(case["steps"]):
        if k == case["swap"]:
            (folder / f"{file}.theirs.states").write_bytes(updater.get_states(dump_optimizer=True))
        step(updater, weights, case, arrays, k)
        found |= {f"out.{name}@{k}": w.asnumpy() for name, w in zip(case["names"], weights)}
    for index, state in updater.states.items():
        found |= {f"state.{index}.{k}": x.asnumpy() for k, x in enumerate(leaves(state))}
    count = updater.optimizer.num_update
    is_whole = case["is_whole"]
    updater = mx.optimizer.get_updater(mx.optimizer.create("test") if is_whole else make(case, case["swap"]))
    updater.set_states((folder / f"{file}.ours.states").read_bytes())
    weights = weights_of(case, arrays, "@swap")
    for k in range(case["swap"], case["steps"]):
        step(updater, weights, case, arrays, k)
        found |= {f"swapped.{name}@{k}": w.asnumpy() for name, w in zip(case["names"], weights)}
    return found, count


def run(folder: Path, name: str) -> dict[str, Any]:
    case = json.loads((folder / f"{name}.json").read_text())
    with np.load(folder / f"{name}.npz") as arrays:
        try:
            found, count = results(case, dict(arrays), folder, name)
            told: dict[str, Any] = {"count": count}
        except Exception as error:  # whatever MXNet says is told, and the next case goes on
            lines = str(error).strip().splitlines() or ["?"]
            found, told = {}, {"error": f"{type(error).__name__}: {lines[-1]}"}
    np.savez(folder / f"{name}.out.npz", **found)
    return told


if __name__ == "__main__":
    work = Path(sys.argv[2])
    for case_name in Path(sys.argv[3]).read_text().split():
        print(case_name, flush=True)
        (work / f"{case_name}.out.json").write_text(json.dumps(run(work, case_name)))
