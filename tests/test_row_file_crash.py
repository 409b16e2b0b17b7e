"""A process that is killed while it trains a table on disk: what it said was done is there, to the bit."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from fault_counts import Faults
from table_runs import batch, model, table

from symopt.embedding.ondisk import OnDisk

CHILD = Path(__file__).with_name("table_runs.py")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(CHILD.parents[1])}


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["process", "power"])
def test_a_process_killed_at_any_moment(durability: str, tmp_path: Path, faults: Faults) -> None:
    path, first, kills = str(tmp_path / "table"), 0, faults.count(50)
    for _ in range(kills):
        command = [sys.executable, str(CHILD), path, str(first), durability]
        with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            said = child.stdout.readline()
            time.sleep(faults.random.random() * 0.2)
            child.kill()
            said += child.stdout.read()
        acknowledged = int(said.split("\n")[-2])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the batch that was being written is cut off, and said
            looked_at = table(OnDisk(path, readonly=True))
        found = model().which(looked_at, range(acknowledged, acknowledged + 2))
        assert found >= 0, f"after {acknowledged} batches: it is none of them"
        looked_at.close()
        first = found
    with table(path) as t:
        batch(t, first)
        assert model().which(t, [first + 1]) == first + 1
