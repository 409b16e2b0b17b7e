"""A loss of power at any moment of a table's life on disk: what is found is a table after a whole batch, and none that
was durable is missing. Every rule of the protocol that is left out is found out."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from crash_states import Op, QuickDisk, State
from fault_counts import Faults
from table_crashes import Kept, TableRecorder, every, states_after
from table_runs import batch, model, table

import symopt as so
from symopt.embedding.ondisk import OnDisk, folder, journal, pushlog, redo
from symopt.embedding.ondisk.messages import write_message
from symopt.embedding.table import Table

CHECKPOINTS = {3, 6}  # after so many batches
BATCHES = 8


class Life(NamedTuple):
    """What was done: the record; and after how many operations how many batches had been begun, and were durable."""

    record: TableRecorder
    begun: list[tuple[int, int]]
    durable: list[tuple[int, int]]

    def allowed(self, cut: int) -> range:
        """The batches after any of which the table may be found."""
        least = max((n for at, n in self.durable if at <= cut), default=0)
        most = max((n for at, n in self.begun if at < cut), default=0)
        return range(least, most + 1)


def lived(root: Path, monkeypatch: pytest.MonkeyPatch, durability: Any) -> Life:
    """A table is made, trained, closed and trained again."""
    root.mkdir()
    record = TableRecorder(str(root))
    monkeypatch.setattr(journal, "DISK", record)
    life = Life(record, [], [])
    for batches in (range(5), range(5, BATCHES)):
        with table(OnDisk(root / "table", durability=durability)) as t:
            train(t, batches, life)
        life.durable.append((len(record.ops), batches[-1] + 1))
    monkeypatch.undo()
    return life


def train(t: Table, batches: range, life: Life) -> None:
    """Some batches, and checkpoints between them."""
    ops = life.record.ops
    for k in batches:
        life.begun.append((len(ops), k + 1))
        batch(t, k)
        if t._journal.options.durability == "power":
            life.durable.append((len(ops), k + 1))
        if k + 1 in CHECKPOINTS:
            t.checkpoint()
            life.durable.append((len(ops), k + 1))


def lived_twice(root: Path, monkeypatch: pytest.MonkeyPatch, dies_at: int) -> Life:
    """A process that is killed after so many operations, and another that goes on where it was."""
    root.mkdir()
    record = TableRecorder(str(root))
    monkeypatch.setattr(journal, "DISK", record)
    life = Life(record, [], [])
    with table(root / "table") as t:
        record.dies_at = len(record.ops) + dies_at
        with contextlib.suppress(BaseException):  # Killed, or what a process that has ended runs into
            train(t, range(5), life)
        t.close(checkpoint=False)
    record.dies_at, record.is_dead = -1, False
    with opened(root / "table") as t:
        found = model().which(t, range(6))
        assert found in life.allowed(len(record.ops))
        train(t, range(found, found + 2), life)
    life.durable.append((len(record.ops), found + 2))
    monkeypatch.undo()
    return life


def opened(path: Path) -> Table:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # batches that were being written
        return table(path)


def violations(life: Life, states: Iterator[State], where: Path) -> Iterator[str]:
    """What is wrong with the states that may be left, each of which is then gone on with."""
    for count, state in enumerate(states):
        root = where / f"state{count}"
        root.mkdir()
        state.write(str(root))
        allowed = life.allowed(state.cut)
        try:
            with opened(root / "table") as t:
                found = model().which(t, range(BATCHES + 1))
                if found not in allowed:
                    yield f"after {state.cut} operations: batch {found} is found, not of {allowed}"
                    continue
                batch(t, found)
            with opened(root / "table") as t:
                if model().which(t, [found + 1]) < 0:
                    yield f"after {state.cut} operations: what is done next is not what is found then"
            if left := set(map(kind_of, os.listdir(root / "table"))) - KINDS:
                yield f"after {state.cut} operations: {left} is left"
        except (so.SymoptError, OSError, EOFError, ValueError) as error:
            yield f"after {state.cut} operations: {type(error).__name__}: {error}"
        finally:
            shutil.rmtree(root)


KINDS = {"table.json", "lock", "rows.bin", "state", "log"}


def kind_of(name: str) -> str:
    return name.partition("-")[0]


def every_state(life: Life, each: int, rng: random.Random, kept: Kept = every) -> Iterator[State]:
    """So many states after each number of operations, in any order."""
    cuts = list(range(len(life.record.ops) + 1))
    rng.shuffle(cuts)
    yield from states_at(cuts, life, each, rng, kept)


def states_at(
    cuts: Sequence[int], life: Life, each: int, rng: random.Random, kept: Kept = every
) -> Iterator[State]:
    """So many after each of these numbers of operations."""
    for cut in cuts:
        yield from islice(states_after(life.record, cut, rng, kept), each)


def power_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine has been started anew whenever a table is opened. None of it need be durable."""
    starts = itertools.count()
    monkeypatch.setattr(pushlog, "boot", lambda: f"start {next(starts)}")
    monkeypatch.setattr(journal, "DISK", QuickDisk())


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["process", "power"])
def test_every_loss_of_power_leaves_a_whole_table(
    durability: str, tmp_path: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = lived(tmp_path / "record", monkeypatch, durability)
    assert len(life.record.ops) > 100
    power_comes_back(monkeypatch)
    states = states_at(faults.some(range(len(life.record.ops) + 1)), life, 4, faults.random)
    assert list(violations(life, states, tmp_path)) == []


@pytest.mark.slow
def test_a_killed_process_then_a_loss_of_power(
    tmp_path: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the killed one did may not be durable when the next one, which deletes, sees it."""
    for dies_at in faults.some(range(100)):
        with monkeypatch.context() as patch:
            life = lived_twice(tmp_path / f"record{dies_at}", patch, dies_at)
            power_comes_back(patch)
            cuts = range(dies_at, len(life.record.ops) + 1)
            states = every_state(life, 1, faults.random)
            chosen = islice((s for s in states if s.cut in cuts), faults.count(40))
            assert list(violations(life, chosen, tmp_path)) == []


# ---- the protocol with one rule left out: the states must show it


def _file(record: TableRecorder, op: Op) -> str:
    """The name that the file or folder of an operation was made with; of what was there before, none."""
    return next((made.links[0][1] for made in record.ops if made.number == op.number and made.links), "")


def _without(kind: str, start: str) -> Callable[[TableRecorder], Kept]:
    """No such operation on files whose names begin so."""
    return lambda record: lambda k, op: op.kind != kind or not _file(record, op).startswith(start)


MUTANTS: dict[str, tuple[str, Callable[[TableRecorder], Kept]]] = {
    "log-not-synced": ("power", _without("sync", "log")),
    "redo-not-synced": ("process", _without("sync", "redo")),
    "rows-not-synced": ("process", _without("sync", "rows")),
    "folder-not-synced": ("process", _without("sync folder", ".table")),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_rule_left_out_shows(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    durability, mutant = MUTANTS[name]
    life = lived(tmp_path / "record", monkeypatch, durability)
    kept = mutant(life.record)
    assert not all(kept(k, op) for k, op in enumerate(life.record.ops))
    power_comes_back(monkeypatch)
    states = every_state(life, 20, random.Random(0), kept)
    assert next(violations(life, states, tmp_path), None) is not None


def test_a_batch_in_two_records_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    do = journal.Journal.do

    def at_once(self: Any, command: Any) -> Any:
        found = do(self, command)
        self._log.append(pushlog.BATCH, write_message([command], self._answers.said))
        self._answers.said = []
        return found

    with monkeypatch.context() as patch:
        patch.setattr(journal.Journal, "do", at_once)
        patch.setattr(journal.Journal, "_append", lambda self: None)
        life = lived(tmp_path / "record", patch, "process")
    power_comes_back(monkeypatch)
    states = every_state(life, 20, random.Random(0))
    assert next(violations(life, states, tmp_path), None) is not None


def test_rows_written_before_the_checkpoint_counts_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In place, that is, with no copy of them beside."""

    def in_place(disk: Any, path: str, slots: Any, records: Any) -> None:
        rows = disk.open(os.path.join(os.path.dirname(path), folder.ROWS))
        redo.put_rows(disk, rows, slots, records[slots])
        disk.sync(rows)
        disk.close(rows)

    with monkeypatch.context() as patch:
        patch.setattr(folder, "write_redo", in_place)
        life = lived(tmp_path / "record", patch, "power")
    power_comes_back(monkeypatch)
    states = every_state(life, 20, random.Random(0))
    assert next(violations(life, states, tmp_path), None) is not None


def test_a_folder_that_is_not_synced_when_a_table_is_opened_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint whose name is there, of a process that died right after, need not be durable: what it replaces may
    only be deleted when it is."""

    def renamed(life: Life) -> int:
        """How many operations there are when the first checkpoint after the table was made has its name."""
        names = ((k, op.links[-1][1]) for k, op in enumerate(life.record.ops) if op.kind == "rename")
        return next(k for k, name in names if name == "state-000000001") + 1

    with monkeypatch.context() as patch:
        whole = lived_twice(tmp_path / "whole", patch, 10**6)
        life = lived_twice(tmp_path / "record", patch, renamed(whole) - whole.begun[0][0])
    dead = renamed(life)
    ops = life.record.ops
    first = next(k for k in range(dead, len(ops)) if ops[k].kind == "sync folder")
    power_comes_back(monkeypatch)
    for kept, is_seen in ((every, False), (lambda k, op: k != first, True)):
        cuts = range(first + 1, min(first + 12, len(ops)))
        states = states_at(cuts, life, 25, random.Random(0), kept)
        assert (next(violations(life, states, tmp_path), None) is not None) == is_seen
