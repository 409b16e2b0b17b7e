"""Tables as the configurations of `entry` describe them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import AttributeValueError, RuleError
from .admission import Admission
from .entry.features import FeatureFactory
from .entry.instance import HashTableConfigInstance
from .entry.segments import SegmentConfig
from .entry.slot_configs import SlotOccurrenceThresholdConfig
from .entry.tables import EmbeddingHashTableConfig, EntryConfig
from .expiry import Expiry
from .segment import Segment

Config = HashTableConfigInstance | EmbeddingHashTableConfig


def segments_of(given: Any, what: str) -> tuple[Segment, ...]:
    """Segments from one or several, or from what CombineAsSegment made. AttributeValueError for anything else."""
    several = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    found: list[Segment] = []
    for each in several:
        if isinstance(each, SegmentConfig):
            found += [_segment(piece, what) for piece in each.pieces()]
        elif isinstance(each, Segment):
            found.append(each)
        else:
            hint = "; Table.from_config takes configurations" if isinstance(each, Config) else ""
            raise AttributeValueError(f"{what}: a table is made of one Segment or more, got {each!r}{hint}")
    if not found:
        raise AttributeValueError(f"{what}: a table is made of one Segment or more, got none")
    return tuple(found)


def table_options(config: Config, occurrence: SlotOccurrenceThresholdConfig | None) -> dict[str, Any]:
    """What a configuration says, as arguments of a Table."""
    if not isinstance(config, Config):
        raise AttributeValueError(
            f"expected a HashTableConfigInstance or an EmbeddingHashTableConfig, got {config!r}"
        )
    config.check()
    if isinstance(config, HashTableConfigInstance):
        table, pieces = config.table_config, config.pieces()
    else:
        table, pieces = config, [piece for s in config.entry_config.segments for piece in s.pieces()]
    if table.entry_config.entry_type == EntryConfig.SERVING:
        raise RuleError(
            "entry_config.entry_type is 'SERVING': such a table has no states to train with. Make it with 'TRAINING', "
            "export it, and open the file with so.embedding.load_serving"
        )
    expiry = table.slot_expire_time_config
    options: dict[str, Any] = {
        "segments": [_segment(piece, "a configuration") for piece in pieces],
        "reserve": table.initial_capacity if table.initial_capacity > 1 else 0,
        "expiry": Expiry(expiry.default_expire_time, expiry.slot_expire_times),
    }
    if occurrence is not None:
        occurrence.check()
        default, by_slot = occurrence.default_occurrence_threshold, occurrence.slot_occurrence_thresholds
        options["admission"] = Admission(default, by_slot)
    return options


def merged(
    configs: FeatureFactory | Mapping[str, Config],
) -> tuple[dict[tuple[str, ...], Config], dict[str, Any]]:
    """Configurations by the names that share them, and what else a factory says of all its tables."""
    if isinstance(configs, FeatureFactory):
        thresholds = {k: n for k, n in configs.slot_to_occurrence_threshold.items() if n}
        occurrence = SlotOccurrenceThresholdConfig(slot_occurrence_thresholds=thresholds)
        return dict(configs.merged_tables()), {"occurrence": occurrence} if thresholds else {}
    groups: dict[str, list[str]] = {}
    for name in sorted(configs):
        groups.setdefault(_text(configs[name]), []).append(name)
    return {tuple(names): configs[names[0]] for names in groups.values()}, {}


def _text(config: Config) -> str:
    if isinstance(config, HashTableConfigInstance):
        return str(config)
    return str(sorted(config.as_dict().items()))


def _segment(piece: Mapping[str, Any], what: str) -> Segment:
    if piece.get("delay_compensation"):
        raise RuleError(
            f"{what}: DcOptimizer needs the weights that a gradient was computed at, which a table does not know. "
            "Compensate before: so.nd.monolith_delay_compensation(grad, weight, latest) makes the gradient to give"
        )
    return Segment(**piece)
