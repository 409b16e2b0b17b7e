"""Monolith's facts about embedding tables and the cases of a reference: tests/golden/embedding_*."""

import json
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "golden"
FACTS: dict[str, dict[str, Any]] = {
    fact["name"]: fact for fact in json.loads((FOLDER / "embedding_facts.json").read_text())["facts"]
}
CASES: dict[str, dict[str, Any]] = {
    case["case"]: case for case in json.loads((FOLDER / "embedding_tables.json").read_text())["cases"]
}
VECTORS = np.load(FOLDER / "embedding_tables.npz")


def by_slot(given: dict[str, int] | None) -> dict[int, int]:
    """JSON's keys are texts."""
    return {int(slot): value for slot, value in (given or {}).items()}
