"""A segment: some columns of a row, with what they begin as, how they are updated, and how they are compressed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import AttributeValueError, FormatError
from .arguments import UNSET, Spec
from .compressors import Compressor
from .initializers import Initializer
from .learning_rates import LearningRate
from .optimizer import Optimizer
from .optimizers import BatchSoftmaxOptimizer
from .part import known_only

DIM = Spec("whole", UNSET, low=1, high=2**31 - 1)
PARTS: dict[str, Any] = {"init_config": Initializer, "opt_config": Optimizer, "comp_config": Compressor}


@dataclass(frozen=True)
class SegmentConfig:
    """Columns of a row that share an initializer, an optimizer and a compressor: Monolith's `EntryConfig.Segment`.

    Made by `CombineAsSegment`. The fields have the names of the proto file.
    """

    dim_size: int
    init_config: Initializer
    opt_config: Optimizer
    comp_config: Compressor

    def __post_init__(self) -> None:
        object.__setattr__(self, "dim_size", DIM.parse(self.dim_size, "a segment: dim_size"))
        for name, kind in PARTS.items():
            part = getattr(self, name)
            if not isinstance(part, kind):
                raise AttributeValueError(
                    f"a segment: {name} must be a symopt.embedding.entry.{kind.__name__} or its dict, got {part!r}"
                )
        if self.opt_config.rule == BatchSoftmaxOptimizer().rule and self.dim_size != 1:
            raise AttributeValueError(
                f"a segment: BatchSoftmaxOptimizer needs dim_size = 1, got {self.dim_size}: it counts one number per id"
            )

    def arguments(self, learning_rate: LearningRate | None = None) -> dict[str, Any]:
        """What a table needs to know of the segment. `learning_rate`: in place of the optimizer's own.

        `dim`; `rule`, `attrs`, `initial`, `clock` and `learning_rate` of the update (None: the rule has none);
        `blocks`, into how many rows of what width the rule sees the columns cut; `rounds_to_float16` and
        `delay_compensation`, what is done around the rule; `initializer` and `compressor`.

        >>> from symopt.embedding.entry import CombineAsSegment, Fp32Compressor
        >>> from symopt.embedding.entry import SgdOptimizer, ZerosInitializer
        >>> parts = ZerosInitializer(), SgdOptimizer(0.5), Fp32Compressor()
        >>> segment = CombineAsSegment(4, *parts)
        >>> segment.arguments()["rule"]
        'monolith_sgd'
        """
        optimizer = self.opt_config
        return {
            "dim": self.dim_size,
            "rule": optimizer.rule,
            "attrs": optimizer.attrs,
            "initial": optimizer.initial,
            "clock": optimizer.clock,
            "learning_rate": optimizer.rate(learning_rate),
            "blocks": optimizer.blocks(self.dim_size),
            "rounds_to_float16": optimizer.rounds_to_float16,
            "delay_compensation": optimizer.delay_compensation,
            "initializer": self.init_config,
            "compressor": self.comp_config,
        }

    def pieces(self, learning_rate: LearningRate | None = None) -> list[dict[str, Any]]:
        """The segment as keyword arguments of `so.embedding.Segment`: one piece, or two.

        Two where accumulators are shared by blocks of columns and the last block is shorter than the others.
        `rounds_to_float16` and `delay_compensation` are among them only where they are asked for.

        >>> from symopt.embedding.entry import AdagradOptimizer, CombineAsSegment
        >>> from symopt.embedding.entry import Fp16Compressor, ZerosInitializer
        >>> shared = AdagradOptimizer(hessian_compression_times=4)
        >>> segment = CombineAsSegment(10, ZerosInitializer(), shared, Fp16Compressor())
        >>> [(piece["dim"], piece["n_blocks"]) for piece in segment.pieces()]
        [(8, 2), (2, 1)]
        """
        given = self.arguments(learning_rate)
        for name in ("rounds_to_float16", "delay_compensation"):
            if not given[name]:
                del given[name]
        blocks, attrs, _ = given.pop("blocks"), given.pop("attrs"), given.pop("dim")
        return [{"dim": count * width, "n_blocks": count, **given, **attrs} for count, width in blocks]

    def as_dict(self) -> dict[str, Any]:
        """As plain data, with the names of Monolith's proto: `from_dict` takes it back."""
        return {**{name: getattr(self, name).as_dict() for name in PARTS}, "dim_size": self.dim_size}

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> SegmentConfig:
        """The segment that a dict describes. Errors are those of its parts; FormatError if one is missing."""
        fields = [*PARTS, "dim_size"]
        if not isinstance(description, Mapping) or any(name not in description for name in fields):
            raise FormatError(f"a segment: expected a dict with {', '.join(fields)}; got {description!r}")
        known_only(description, fields, "a segment")
        return CombineAsSegment(description["dim_size"], *(description[name] for name in PARTS))


def CombineAsSegment(  # noqa: N802  Monolith's name
    dim_size: int,
    initializer: Initializer | Mapping[str, Any],
    optimizer: Optimizer | Mapping[str, Any],
    compressor: Compressor | Mapping[str, Any],
) -> SegmentConfig:
    """A segment of `dim_size` columns; each part is an object or its dict.

    AttributeValueError (a ValueError) for parts that do not go together.

    >>> from symopt.embedding.entry import AdagradOptimizer, Fp16Compressor
    >>> from symopt.embedding.entry import ZerosInitializer
    >>> parts = ZerosInitializer(), AdagradOptimizer(), Fp16Compressor()
    >>> segment = CombineAsSegment(16, *parts)
    >>> segment == SegmentConfig.from_dict(segment.as_dict())
    True
    """
    given = zip(PARTS.values(), (initializer, optimizer, compressor))
    parts: list[Any] = [kind.from_dict(x) if isinstance(x, Mapping) else x for kind, x in given]
    return SegmentConfig(dim_size, *parts)
