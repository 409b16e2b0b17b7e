"""A loss of power while tables on disk are restored, or make checkpoints because limits are reached."""

from __future__ import annotations

import random
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import table_runs
import test_table_power as power
from fault_counts import Faults
from test_table_power import MUTANTS, Life, every_state, power_comes_back, states_at, violations

from symopt.embedding import Table
from symopt.embedding.ondisk import OnDisk, journal


@pytest.fixture
def replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Batches of which some are restores: of all, among what is there, and of a state."""
    batch, source = table_runs.batch, table_runs.table()
    for k in range(6):
        batch(source, 100 + k)
    source.save(tmp_path / "saved", files=2)

    def other(t: Table, k: int) -> None:
        if k % 4 == 1:
            t.restore(tmp_path / "saved", merge=True, only=lambda ids: ids % 2 == 0)
        elif k == 2:
            t.load_state_dict(source.state_dict())
        elif k == 6:
            t.restore(tmp_path / "saved", only=lambda ids: ids % 3 != 0)
        else:
            batch(t, k)

    monkeypatch.setattr(table_runs, "batch", other)
    model = table_runs.Model()
    with monkeypatch.context() as patch:
        patch.setattr(power, "batch", other)
        patch.setattr(power, "model", lambda: model)
        yield patch


def lived(root: Path, patch: pytest.MonkeyPatch, durability: str) -> Life:
    """With a checkpoint before most batches."""
    with pytest.MonkeyPatch.context() as inner:
        inner.setattr(power, "OnDisk", partial(OnDisk, log_bytes=4000))
        return power.lived(root, inner, durability)


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["process", "power"])
def test_every_loss_of_power_leaves_a_whole_table(
    durability: str, tmp_path: Path, faults: Faults, replaced: Any
) -> None:
    life = lived(tmp_path / "record", replaced, durability)
    names = {op.links[0][1] for op in life.record.ops if op.links}
    assert len([name for name in names if name.startswith("redo")]) > 6
    with pytest.MonkeyPatch.context() as patch:
        power_comes_back(patch)
        states = states_at(faults.some(range(len(life.record.ops) + 1)), life, 4, faults.random)
        assert list(violations(life, states, tmp_path)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MUTANTS if name != "log-not-synced"])
def test_a_rule_left_out_shows(name: str, tmp_path: Path, replaced: Any) -> None:
    durability, mutant = MUTANTS[name]
    life = lived(tmp_path / "record", replaced, durability)
    with pytest.MonkeyPatch.context() as patch:
        power_comes_back(patch)
        states = every_state(life, 20, random.Random(0), mutant(life.record))
        assert next(violations(life, islice(states, 4000), tmp_path), None) is not None


@pytest.mark.slow
def test_a_restore_that_is_no_checkpoint_shows(tmp_path: Path, replaced: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal.Journal, "replacing", journal.Journal.batch)
        patch.setattr(journal.Journal, "do", lambda self, command: self._table._apply(command))
        life = lived(tmp_path / "record", patch, "process")
    with pytest.MonkeyPatch.context() as patch:
        power_comes_back(patch)
        states = every_state(life, 1, random.Random(0))
        assert next(violations(life, states, tmp_path), None) is not None
