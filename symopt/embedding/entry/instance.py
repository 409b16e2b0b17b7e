"""A table's configuration together with a learning rate for each segment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...arrays import Array
from ...errors import AttributeValueError, FormatError
from .learning_rates import LearningRate, PolynomialDecay, check_learning_rate, rate_as_dict, rate_at
from .part import as_text, known_only
from .segments import SegmentConfig
from .tables import EmbeddingHashTableConfig


class HashTableConfigInstance:
    """What a table is made of. `learning_rate_fns`: for each segment a number, or a function of the global step.

    Slots whose instances have equal `str` may share one table. `extra_restore_names`: other names under which a
    checkpoint may have the table. AttributeValueError (a ValueError) for a configuration that contradicts itself, and
    for another number of learning rates than of segments.

    >>> from symopt.embedding.entry import (
    ...     CombineAsSegment, EntryConfig, Fp32Compressor, PolynomialDecay, SgdOptimizer,
    ...     ZerosInitializer)
    >>> segment = CombineAsSegment(4, ZerosInitializer(), SgdOptimizer(), Fp32Compressor())
    >>> config = EmbeddingHashTableConfig(EntryConfig([segment, segment]))
    >>> instance = HashTableConfigInstance(config, [0.5, PolynomialDecay(1.0, 10, 0.0)])
    >>> instance.call_learning_rate_fns(global_step=5)
    array([0.5, 0.5], dtype=float32)
    """

    def __init__(
        self,
        table_config: EmbeddingHashTableConfig,
        learning_rate_fns: Sequence[LearningRate],
        extra_restore_names: Iterable[str] | None = None,
    ) -> None:
        self._table_config = table_config
        self._learning_rate_fns = list(learning_rate_fns)
        self._learning_rate_tensor: Any = None
        self.extra_restore_names = list(extra_restore_names or [])
        self.check()

    def check(self) -> None:
        """Raise if the configuration, which may have been changed since, contradicts itself."""
        self._table_config.check()
        n_segments, n_rates = len(self._table_config.entry_config.segments), len(self._learning_rate_fns)
        if n_segments != n_rates:
            raise AttributeValueError(
                f"learning_rate_fns: {n_rates} given, and the table has {n_segments} segments: one each"
            )
        for k, given in enumerate(self._learning_rate_fns):
            check_learning_rate(given, f"learning_rate_fns[{k}]")

    def __str__(self) -> str:
        fns = ", ".join(str(fn) for fn in self._learning_rate_fns)
        return f"TableConfigPB: {as_text(self._table_config.as_dict())}, LearningRateFns: [{fns}]"

    def __repr__(self) -> str:
        more = f", {self.extra_restore_names!r}" if self.extra_restore_names else ""
        return f"HashTableConfigInstance({self._table_config!r}, {self._learning_rate_fns!r}{more})"

    @property
    def table_config(self) -> EmbeddingHashTableConfig:
        """The configuration, without learning rates."""
        return self._table_config

    @property
    def learning_rate_fns(self) -> list[LearningRate]:
        """Numbers and functions of the global step, one for each segment."""
        return self._learning_rate_fns

    @property
    def learning_rate_tensor(self) -> Any:
        """What `set_learning_rate_tensor` was given last; None at first."""
        return self._learning_rate_tensor

    def set_learning_rate_tensor(self, learning_rate_tensor: Any) -> None:
        """Keep learning rates, one for each segment, for whoever asks."""
        if np.shape(learning_rate_tensor) != (len(self._learning_rate_fns),):
            raise AttributeValueError(
                f"learning_rate_tensor: expected shape ({len(self._learning_rate_fns)},), a number for each segment, "
                f"got {np.shape(learning_rate_tensor)}"
            )
        self._learning_rate_tensor = learning_rate_tensor

    def call_learning_rate_fns(self, global_step: int = 0) -> Array:
        """The learning rates at a step, counted from 0: (segments,), float32."""
        return np.array(self.call_learning_rate_fns_fewer_ops(global_step), np.float32)

    def call_learning_rate_fns_fewer_ops(self, global_step: int = 0) -> list[float]:
        """The learning rates at a step, as a list of numbers."""
        return [rate_at(fn, global_step) for fn in self._learning_rate_fns]

    def as_dict(self) -> dict[str, Any]:
        """As plain data, which `from_dict` takes back. FormatError for learning rates that are functions of yours."""
        return {
            "table_config": self._table_config.as_dict(),
            "learning_rate_fns": [rate_as_dict(fn) for fn in self._learning_rate_fns],
            "extra_restore_names": list(self.extra_restore_names),
        }

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> HashTableConfigInstance:
        """What a dict describes. Errors are those of its parts; FormatError if one is missing."""
        names = ["table_config", "learning_rate_fns", "extra_restore_names"]
        if not isinstance(description, Mapping) or any(name not in description for name in names[:2]):
            raise FormatError(f"a table: expected a dict with {', '.join(names)}; got {description!r}")
        known_only(description, names, "a table")
        config = EmbeddingHashTableConfig.from_dict(description["table_config"])
        rates = [
            PolynomialDecay.from_dict(fn) if isinstance(fn, Mapping) else fn
            for fn in description["learning_rate_fns"]
        ]
        return cls(config, rates, description.get("extra_restore_names"))

    def segment_arguments(self) -> list[dict[str, Any]]:
        """What a table needs to know of each segment, its learning rate among it: `SegmentConfig.arguments`."""
        return [segment.arguments(rate) for segment, rate in self._pairs()]

    def pieces(self) -> list[dict[str, Any]]:
        """The segments as keyword arguments of `so.embedding.Segment`, in order: `SegmentConfig.pieces`."""
        return [piece for segment, rate in self._pairs() for piece in segment.pieces(rate)]

    def _pairs(self) -> Iterable[tuple[SegmentConfig, LearningRate]]:
        self.check()
        return zip(self._table_config.entry_config.segments, self._learning_rate_fns)
