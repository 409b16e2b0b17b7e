"""One table saved by n processes, and restored by any number of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_states import DIM, STEPS, drive, everything, numbers_of, plain, rows_of, used

from symopt import errors
from symopt.embedding import Admission, Table


@settings(max_examples=25, deadline=None)
@given(STEPS, st.integers(1, 4), STEPS)
def test_parts_of_one_table(tmp_path_factory: Any, before: Any, n: int, after: Any) -> None:
    """n tables, each with the ids that are k modulo n, are saved and restored as m of them."""
    path, m = tmp_path_factory.mktemp("parts") / "x", 3
    whole = plain(admission=Admission(1))
    parts = [plain(admission=Admission(1)) for _ in range(n)]
    for kind, ids, number in before:
        if kind == "expire" or kind == "flush":
            continue
        drive(whole, [(kind, ids, number)])
        _share(parts, (kind, ids, number))
    for k, part in enumerate(parts):
        part.save(path, part=(k, n))
    others = [plain(admission=Admission(1)) for _ in range(m)]
    for k, other in enumerate(others):
        other.restore(path, only=lambda ids, k=k: ids % m == k)  # type: ignore[misc]
    together = {id_: row for other in others for id_, row in rows_of(other).items()}
    assert together == rows_of(whole)
    counts = [numbers_of(other)["counts"]["young"] for other in others]
    assert {id_: c for each in counts for id_, c in each.items()} == numbers_of(whole)["counts"]["young"]
    one = plain(admission=Admission(1))
    one.restore(path)
    drive(one, after)
    drive(whole, after)
    assert rows_of(one) == rows_of(whole)


def _share(parts: list[Table], step: Any) -> None:
    """A step of the whole table, by each part with its own ids; all take it, so that all count it."""
    kind, ids, number = step
    n = len(parts)
    values = (np.arange(len(ids) * DIM).reshape(-1, DIM) - number) / 16
    for k, part in enumerate(parts):
        mine = [j for j, id_ in enumerate(ids) if id_ % n == k]
        own = [ids[j] for j in mine]
        if kind == "apply":
            part.apply_gradients(np.array(own, np.int64), values[mine], req_time=number * 20_000)
        elif kind in ("assign", "add"):
            put = part.assign if kind == "assign" else part.assign_add
            put(np.array(own, np.int64), values[mine], req_time=number * 20_000)
        elif own:
            drive(part, [(kind, own, number)])


def test_parts_must_be_all_there(tmp_path: Path) -> None:
    table = used(plain())
    for k in (0, 2):
        table.save(tmp_path / "x", part=(k, 3))
    with pytest.raises(errors.DamagedError, match="part-00002-of-00003 is missing"):
        plain().restore(tmp_path / "x")
    table.save(tmp_path / "x", part=(1, 3))
    with pytest.raises(errors.StateError, match="id 0 is there more than once"):
        plain().restore(tmp_path / "x")
    table.save(tmp_path / "x", part=(0, 4))
    with pytest.raises(errors.DamagedError, match="part-00001-of-00004 is none of 3 parts"):
        plain().restore(tmp_path / "x")
    with pytest.raises(errors.AttributeValueError, match="part is"):
        table.save(tmp_path / "x", part=(4, 4))


def test_parts_of_different_steps(tmp_path: Path) -> None:
    used(plain(), [1, 3]).save(tmp_path / "x", part=(0, 2))
    plain().save(tmp_path / "x", part=(1, 2))
    table = used(plain(), [9])
    before = everything(table)
    with pytest.raises(errors.StateError, match="steps: 3 in part-00001-of-00002, 0 in part-00002"):
        table.restore(tmp_path / "x")
    assert everything(table) == before
    table.restore(tmp_path / "x", merge=True)
    assert set(table) == {1, 3, 9}
