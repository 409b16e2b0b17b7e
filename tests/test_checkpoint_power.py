"""A loss of power at any moment of a save: what was saved before, or what is being saved, is there; and what a save
that returned has saved, always. Every rule of the protocol that is left out is found out."""

from __future__ import annotations

import os
import random
import shutil
import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from crash_states import Killed, Op, QuickDisk, Recorder, State, crash_states, random_states
from fault_counts import Faults

import symopt as so
from symopt.checkpoint import Series
from symopt.checkpoint.writer import store

Mutation = Callable[[Recorder, list[Op]], list[Op]]
SAVED = "saved"


def generation(k: int) -> dict[str, Any]:
    return {"w": np.arange(300, dtype=np.float32) * k, "v": np.full((3, 5), k, np.float64), "step": k}


def which(tree: Any) -> int:
    """The generation that a tree is, all of it."""
    expected = generation(tree["step"])
    assert set(tree) == set(expected)
    assert all(np.array_equal(tree[name], expected[name]) for name in expected), "a mixture was loaded"
    return int(tree["step"])


class Scene(NamedTuple):
    """How saves are made in a folder, generation after generation, and which one is loaded: 0 if none is there."""

    save: Callable[[str, int, QuickDisk], None]
    load: Callable[[str], int]
    before: int = 1  # generations there before the one that is interrupted
    can_exchange: bool = True


def _save(root: str, k: int, disk: QuickDisk) -> None:
    store(f"{root}/{SAVED}", generation(k), overwrite=k > 1, shard_bytes=500, disk=disk)


def _load(root: str) -> int:
    try:
        return which(so.load(f"{root}/{SAVED}"))
    except FileNotFoundError:
        return 0


def _save_step(root: str, k: int, disk: QuickDisk) -> None:
    Series(root, keep=1, disk=disk).save(k, generation(k))


def _load_step(root: str) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a damaged step is one too many
        return which(Series(root).load())


SCENES = {
    "first": Scene(_save, _load, before=0),
    "overwritten": Scene(_save, _load),
    "overwritten-by-two-renames": Scene(_save, _load, can_exchange=False),
    "series": Scene(_save_step, _load_step),
}


class Interrupted(NamedTuple):
    """The record of the save that is interrupted."""

    record: Recorder
    generation: int
    before: set[int]  # generations that may be there while it is not saved

    @classmethod
    def of(cls, scene: Scene, root: str) -> Interrupted:
        os.mkdir(root)
        for k in range(1, scene.before + 1):
            scene.save(root, k, QuickDisk())
        record = Recorder(root, scene.can_exchange)
        scene.save(root, scene.before + 1, record)
        return cls(record, scene.before + 1, {scene.before})

    @classmethod
    def twice(cls, scene: Scene, root: str, dies_at: int) -> Interrupted:
        """A save that is killed, and the next one on what it left."""
        os.mkdir(root)
        scene.save(root, 1, QuickDisk())
        record = Recorder(root, scene.can_exchange)
        record.dies_at = dies_at
        with pytest.raises(Killed):
            scene.save(root, 2, record)
        before = {1, scene.load(root)}
        record.dies_at, record.is_dead = -1, False
        scene.save(root, 3, record)
        return cls(record, 3, before)


def violations(scene: Scene, done: Interrupted, states: Iterator[State], folder: Path) -> Iterator[str]:
    """What is wrong with the states that may be left, each of which is then saved to as if nothing had happened."""
    for count, state in enumerate(states):
        root = str(folder / f"state{count}")
        os.mkdir(root)
        state.write(root)
        try:
            found = scene.load(root)
            allowed = {done.generation} if state.is_acknowledged else {*done.before, done.generation}
            if found not in allowed:
                yield f"after {state.cut} operations: generation {found} is loaded, not of {allowed}"
            scene.save(root, done.generation + 1, QuickDisk())
            if scene.load(root) != done.generation + 1:
                yield f"after {state.cut} operations: the next save is not what is loaded"
            if left := [name for name in os.listdir(root) if name.endswith((".tmp", ".old"))]:
                yield f"after {state.cut} operations: the next save leaves {left}"
        except (so.SymoptError, OSError, RuntimeWarning) as error:
            yield f"after {state.cut} operations: {error}"
        shutil.rmtree(root)


@pytest.mark.parametrize("name", SCENES)
def test_every_loss_of_power_leaves_a_whole_checkpoint(name: str, tmp_path: Path) -> None:
    scene = SCENES[name]
    done = Interrupted.of(scene, str(tmp_path / "record"))
    states = list(crash_states(done.record, done.record.ops))
    assert len(states) > 50 and sum(state.is_acknowledged for state in states) >= 1
    assert list(violations(scene, done, iter(states), tmp_path)) == []


@pytest.mark.parametrize("name", [name for name, scene in SCENES.items() if scene.before])
def test_a_killed_save_then_a_loss_of_power(name: str, tmp_path: Path, faults: Faults) -> None:
    """What the killed save did may not be durable when the next one, which sweeps, sees it."""
    scene = SCENES[name]
    length = len(Interrupted.of(scene, str(tmp_path / "whole")).record.ops)
    for dies_at in range(length):
        done = Interrupted.twice(scene, str(tmp_path / f"record{dies_at}"), dies_at)
        states = random_states(done.record, done.record.ops, dies_at, faults.random)
        assert list(violations(scene, done, islice(states, faults.count(100)), tmp_path)) == []


# ---- the protocol with one rule left out: the states must show it


def _without(kind: str, is_meant: Callable[[Recorder, Op], bool]) -> Mutation:
    return lambda record, ops: [op for op in ops if not (op.kind == kind and is_meant(record, op))]


def _name_of(record: Recorder, op: Op) -> str:
    """The name that a file or folder was made with; of the root, none."""
    return next((made.links[0][1] for made in record.ops if made.number == op.number and made.links), "")


def _renamed_early(record: Recorder, ops: list[Op]) -> list[Op]:
    """Renamed when it is written, and synced only then."""
    renames = [op for op in ops if op.kind == "rename"]
    first = next(k for k, op in enumerate(ops) if op.kind == "sync")
    rest = [op for op in ops[first:] if op.kind != "rename"]
    return ops[:first] + renames + rest


def _deleted_early(record: Recorder, ops: list[Op]) -> list[Op]:
    """What is replaced is deleted before the new one is durable."""
    removed = [op for op in ops if op.kind == "unlink"]
    at = next(k for k, op in enumerate(ops) if op.kind == "rename")
    return ops[: at + 1] + removed + [op for op in ops[at + 1 :] if op.kind != "unlink"]


MUTANTS: dict[str, Mutation] = {
    "data-not-synced": _without("sync", lambda r, op: _name_of(r, op).endswith(".safetensors")),
    "manifest-not-synced": _without("sync", lambda r, op: _name_of(r, op) == "MANIFEST.json"),
    "new-folder-not-synced": _without("sync folder", lambda r, op: _name_of(r, op).endswith(".tmp")),
    "parent-not-synced": _without("sync folder", lambda r, op: op.number == 0),
    "renamed-before-synced": _renamed_early,
}
DELETING = [(name, "deleted-before-synced", _deleted_early) for name in SCENES if name != "first"]


@pytest.mark.parametrize(
    "name, mutant, mutation",
    [*((s, m, mutation) for s in SCENES for m, mutation in MUTANTS.items()), *DELETING],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_a_rule_left_out_shows(name: str, mutant: str, mutation: Mutation, tmp_path: Path) -> None:
    scene = SCENES[name]
    done = Interrupted.of(scene, str(tmp_path / "record"))
    ops = mutation(done.record, done.record.ops)
    assert ops != done.record.ops
    states = list(crash_states(done.record, ops))
    random.Random(0).shuffle(states)  # the first violation ends the search
    assert next(violations(scene, done, iter(states), tmp_path), None) is not None
