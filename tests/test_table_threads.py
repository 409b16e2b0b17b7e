"""Many threads on one table: every call is whole, and none is lost."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from symopt import errors
from symopt.embedding import Admission, Segment, Table
from symopt.embedding.ondisk import folder, journal

N_THREADS = 8
IDS = np.arange(200) * (1 << 40) - 3


def together(*tasks: Callable[[], None]) -> None:
    """Run tasks at once; the first error of any."""
    errors: list[BaseException] = []
    gate = threading.Barrier(len(tasks))

    def run(task: Callable[[], None]) -> None:
        try:
            gate.wait()
            task()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_gradients_of_many_threads_add_up() -> None:
    table = Table(Segment(3, "monolith_sgd", learning_rate=1.0))
    steps = 25

    def push(k: int) -> Callable[[], None]:
        def task() -> None:
            rng = np.random.default_rng(k)
            for _ in range(steps):
                table.apply_gradients(rng.permutation(IDS), np.full((len(IDS), 3), -1.0, np.float32))

        return task

    def look() -> None:
        for _ in range(200):
            found = table.lookup(IDS)
            assert (found == found[:1]).all()  # a batch is seen whole or not at all
            assert (found == np.floor(found)).all()

    together(*(push(k) for k in range(N_THREADS)), look, look)
    assert (table.lookup(IDS) == N_THREADS * steps).all()
    assert table.steps == N_THREADS * steps
    assert (table.lookup_entry(IDS).updates == N_THREADS * steps).all()


def test_rows_come_and_go_while_others_look() -> None:
    table = Table(
        Segment(2, "monolith_adagrad", learning_rate=0.1, initializer=1.0),
        max_rows=400,
        policy="least_recent",
    )

    def grow(k: int) -> Callable[[], None]:
        def task() -> None:
            for step in range(30):
                table.apply_gradients(np.arange(40) + 40 * step + 10_000 * k, np.ones((40, 2)), req_time=step)
                table.evict(np.arange(10) + 40 * step + 10_000 * k)

        return task

    def look() -> None:
        for step in range(200):
            found, hits = table.lookup(np.arange(100) + 40 * (step % 30), with_hits=True)
            assert (found[~hits] == 0).all()
            assert (found[hits] != 0).all()

    together(*(grow(k) for k in range(4)), look, look)
    assert len(table) <= 400
    assert len(set(table)) == len(table)
    assert table.contains(table.ids()).all()


def test_sums_and_assignments_of_200_threads() -> None:
    """As Monolith's own test has it: 200 calls from threads of their own."""
    table = Table(Segment(1, "monolith_sgd", learning_rate=1.0))
    ids = np.arange(100)

    def add() -> None:
        table.assign_add(ids, ids[:, None].astype(np.float32))

    def optimise() -> None:
        table.apply_gradients(ids, -ids[:, None].astype(np.float32))

    together(*([add] * 100 + [optimise] * 100))
    assert (table.lookup(ids)[:, 0] == 200 * ids).all()


def test_nothing_counts_while_an_admission_is_copied() -> None:
    is_held: list[bool] = []

    class Watched(Admission):
        def __deepcopy__(self, memo: object) -> Admission:
            is_held.append(table._lock._is_owned())
            return Admission(3)

    table = Table(Segment(2, "sgd", learning_rate=1), admission=Watched(3))
    assert isinstance(copy.deepcopy(table).admission, Admission)
    assert type(pickle.loads(pickle.dumps(table)).admission) is Admission
    assert is_held == [True, True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_waits_for_batches_of_other_threads() -> None:
    table = Table(Segment(8, "sgd", learning_rate=1))
    ids, stop = np.arange(20000), threading.Event()

    def train() -> None:
        while not stop.is_set():
            table.apply_gradients(ids, np.ones((len(ids), 8)))

    thread = threading.Thread(target=train)
    thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if not child:
                signal.alarm(10)  # ends a child that waits for ever
                rows = table.lookup(ids)
                os._exit(0 if (rows == rows[0]).all() else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        thread.join()


def test_several_threads_close_a_table_that_others_use(tmp_path: Path) -> None:
    table = Table(Segment(4, "adagrad", learning_rate=0.1), path=tmp_path / "t")

    def use() -> None:
        with pytest.raises(errors.TooLateError, match="closed"):
            for _ in range(10**6):
                table.apply_gradients(IDS, np.ones((len(IDS), 4)))
                table.lookup(IDS)

    together(use, use, *[table.close] * 4)


def test_a_table_that_another_process_makes_meanwhile_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = Segment(4, "adagrad", learning_rate=0.1)

    def late(*given: Any) -> None:
        monkeypatch.undo()
        with Table(kind, path=tmp_path / "t") as other:
            other.apply_gradients(IDS, np.ones((len(IDS), 4)))
        folder.create(*given)

    monkeypatch.setattr(journal, "create", late)
    with Table(kind, path=tmp_path / "t") as table:
        assert len(table) == len(IDS)
