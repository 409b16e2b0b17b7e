"""Numbers of a cluster among the metrics of Ray, which its dashboard and Prometheus show as ray_symopt_..."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .pace import Sample

TAGS = ("shard", "table")


class Metrics:
    """A gauge or a counter of Ray for each name, made when it is first told."""

    def __init__(self) -> None:
        from ray.util import metrics

        self._kinds: Any = metrics
        self._made: dict[str, Any] = {}
        self._counted: dict[tuple[str, str], float] = {}

    def __call__(self, samples: Sequence[Sample]) -> None:
        """Tell Ray numbers; it sends them on by itself."""
        for sample in samples:
            if sample.name not in self._made:
                kind = self._kinds.Counter if sample.grows else self._kinds.Gauge
                text = sample.name.removeprefix("symopt_").replace("_", " ")
                self._made[sample.name] = kind(sample.name, f"symopt: {text}", TAGS)
            tags = {name: sample.tags.get(name, "") for name in TAGS}
            if sample.grows:
                self._grow(sample, tags)
            else:
                self._made[sample.name].set(sample.value, tags)

    def _grow(self, sample: Sample, tags: dict[str, str]) -> None:
        """Counters of Ray are told what was added, which is never nothing."""
        key = sample.name, tags["shard"]
        more = sample.value - self._counted.get(key, 0.0)
        if more > 0:
            self._made[sample.name].inc(more, tags)
        self._counted[key] = sample.value
