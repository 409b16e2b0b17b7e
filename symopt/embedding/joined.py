"""Counts of ids that are not admitted yet, from several saved tables, into one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..given import Given
from ..state import Commit
from .admission import Admission
from .batches import Ids
from .loading import vector

Chosen = Callable[[Ids], npt.NDArray[np.bool_]]


def plan_counts(admission: Admission, states: Sequence[Given], chosen: Chosen) -> Commit | None:
    """What takes over the counts of all ids that are chosen. Exact counts can be joined and chosen from; of other
    filters one state is taken as it is, and several are noted as missing: then counts begin at 0."""
    present = [given for given in states if "admission" in given]
    if len(present) < len(states):
        states[0].found.missing += [given.at("admission") for given in states if given not in present]
    if not present:
        return None
    found = present[0].found
    parts = [given.part("admission") for given in present]
    kinds = [part.get("filter") for part in parts]
    if admission.filter == "exact" and all(isinstance(kind, str) and kind == "exact" for kind in kinds):
        return admission.plan_load(_joined(parts, chosen), found, parts[0].path)
    if len(parts) == 1:
        return admission.plan_load(present[0].get("admission"), found, parts[0].path)
    found.missing.append(f"admission: counts of filter={admission.filter!r} can't be joined; they begin at 0")
    return None


def _joined(parts: Sequence[Given], chosen: Chosen) -> dict[str, Any]:
    counts = [part.part("counts") for part in parts]
    generations = {age: _generation([each.part(age) for each in counts], chosen) for age in ("young", "old")}
    blocked = sum(part.count("blocked") for part in parts)
    return {"filter": "exact", "blocked": blocked, "counts": generations}


def _generation(parts: Sequence[Given], chosen: Chosen) -> dict[str, Any]:
    ids = np.concatenate([vector(part, "ids", np.int64) for part in parts])
    counts = np.concatenate([vector(part, "counts", np.uint32) for part in parts])
    if len(ids) != len(counts):
        return {"ids": ids, "counts": counts}  # which is noted as a difference
    kept = chosen(ids)
    return {"ids": ids[kept], "counts": counts[kept]}
