"""Numbers of a cluster become metrics of Ray; here of one that only notes what it is told."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import ClassVar

import pytest

from symopt.distributed.pace import Sample
from symopt.distributed.raymetrics import Metrics


class Told:
    """A gauge or counter of Ray."""

    made: ClassVar[dict[str, Told]] = {}

    def __init__(self, name: str, text: str, tags: tuple[str, ...]) -> None:
        self.values: list[tuple[float, dict[str, str]]] = []
        assert name not in self.made and text and tags == ("shard", "table")
        self.made[name] = self

    def set(self, value: float, tags: dict[str, str]) -> None:
        self.values.append((value, tags))

    def inc(self, value: float, tags: dict[str, str]) -> None:
        assert value > 0  # Ray refuses others
        self.values.append((value, tags))


@pytest.fixture
def fake_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Told]]:
    metrics = types.SimpleNamespace(Gauge=type("Gauge", (Told,), {}), Counter=type("Counter", (Told,), {}))
    monkeypatch.setattr(Told, "made", {})
    monkeypatch.setitem(sys.modules, "ray", types.ModuleType("ray"))
    monkeypatch.setitem(sys.modules, "ray.util", types.SimpleNamespace(metrics=metrics))
    yield Told.made


def test_metrics_of_ray_are_gauges_and_growing_counters(fake_ray: dict[str, Told]) -> None:
    show = Metrics()
    for n in (0, 2, 2, 5, 1, 4):  # a shard that is new counts from 0
        show(
            [Sample("symopt_a", n, {"shard": "3"}), Sample("symopt_b", n, {"shard": "3", "table": "t"}, True)]
        )
    assert type(fake_ray["symopt_a"]).__name__ == "Gauge"
    assert [value for value, _ in fake_ray["symopt_a"].values] == [0, 2, 2, 5, 1, 4]
    assert [value for value, _ in fake_ray["symopt_b"].values] == [2, 3, 3]
    assert fake_ray["symopt_a"].values[0][1] == {"shard": "3", "table": ""}
