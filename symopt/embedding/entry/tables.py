"""The configuration of a table, in four parts: entries, storage, expiry, and what serving leaves out.

Like Monolith's protos, and unlike segments, these objects are filled in after they are made; `check` looks at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...errors import AttributeValueError, FormatError, RuleError
from .arguments import Spec
from .part import known_only
from .segments import SegmentConfig
from .slot_configs import SlotExpireTimeConfig

CAPACITY = Spec("whole", None, low=1, high=2**62)
HOURS = Spec("whole", None, low=1, high=2**31 - 1)
NO_HOURS = Spec("whole", None, low=0, high=2**31 - 1)


@dataclass
class EntryConfig:
    """The segments of a row, in order, and whether rows are for training or only for lookups."""

    TRAINING: ClassVar[str] = "TRAINING"
    SERVING: ClassVar[str] = "SERVING"
    Segment: ClassVar[type[SegmentConfig]] = SegmentConfig

    segments: list[SegmentConfig] = field(default_factory=list)
    entry_type: str = TRAINING

    @property
    def dim(self) -> int:
        """Columns of a row: those of all segments."""
        return sum(segment.dim_size for segment in self.segments)

    def check(self) -> None:
        """AttributeValueError (a ValueError) for no segments, what is none, or an unknown entry type."""
        if not self.segments:
            raise AttributeValueError("entry_config: there is no segment; add one with CombineAsSegment")
        for k, segment in enumerate(self.segments):
            if not isinstance(segment, SegmentConfig):
                raise AttributeValueError(
                    f"entry_config: segments[{k}] must be made by CombineAsSegment, got {segment!r}"
                )
        _one_of("entry_config: entry_type", self.entry_type, (self.TRAINING, self.SERVING))

    def as_dict(self) -> dict[str, Any]:
        """As plain data, with the names of Monolith's proto: `from_dict` takes it back."""
        return {"segments": [segment.as_dict() for segment in self.segments], "entry_type": self.entry_type}

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> EntryConfig:
        """What a dict describes; what is left out has the proto's default."""
        _is_dict(description, ["segments", "entry_type"], "entry_config")
        segments = [SegmentConfig.from_dict(segment) for segment in description.get("segments", [])]
        return cls(segments, description.get("entry_type", cls.TRAINING))


@dataclass
class EmbeddingHashTableConfig:
    """How a table is made: Monolith's four-part configuration.

    * Entries: `entry_config`.
    * Storage: `entry_type`, "PACKED" or "RAW", `initial_capacity` in rows, and `type`, "cuckoo". symopt has one map and
      one layout, and takes the capacity only.
    * Expiry: `slot_expire_time_config`, and with `enable_feature_eviction` every how many hours rows are looked at.
    * Serving: `skip_zero_embedding` leaves out rows of zeros, in tables that only answer lookups.

    >>> from symopt.embedding.entry import AdagradOptimizer, CombineAsSegment
    >>> from symopt.embedding.entry import Fp16Compressor, ZerosInitializer
    >>> config = EmbeddingHashTableConfig()
    >>> config.entry_config.segments.append(
    ...     CombineAsSegment(8, ZerosInitializer(), AdagradOptimizer(), Fp16Compressor()))
    >>> config.check()
    >>> EmbeddingHashTableConfig.from_dict(config.as_dict()) == config
    True
    """

    PACKED: ClassVar[str] = "PACKED"
    RAW: ClassVar[str] = "RAW"

    entry_config: EntryConfig = field(default_factory=EntryConfig)
    entry_type: str = PACKED
    initial_capacity: int = 1
    type: str | None = None
    slot_expire_time_config: SlotExpireTimeConfig = field(default_factory=SlotExpireTimeConfig)
    enable_feature_eviction: bool = False
    feature_evict_every_n_hours: int = 240
    skip_zero_embedding: bool = False

    def check(self) -> None:
        """AttributeValueError (a ValueError) for values out of bounds, or that contradict each other."""
        self.entry_config.check()
        self.slot_expire_time_config.check()
        _one_of("entry_type", self.entry_type, (self.PACKED, self.RAW))
        _one_of("type", self.type, (None, "cuckoo"))
        CAPACITY.parse(self.initial_capacity, "initial_capacity")
        HOURS.parse(self.feature_evict_every_n_hours, "feature_evict_every_n_hours")
        for name in ("enable_feature_eviction", "skip_zero_embedding"):
            Spec("flag", None).parse(getattr(self, name), name)
        if self.skip_zero_embedding and self.entry_config.entry_type != EntryConfig.SERVING:
            raise AttributeValueError(
                "skip_zero_embedding = True is for tables that only serve, and entry_config.entry_type is "
                f"{self.entry_config.entry_type!r}: a row of zeros in training has a state"
            )

    def as_dict(self) -> dict[str, Any]:
        """As plain data, with the names of Monolith's proto: `from_dict` takes it back."""
        plain = {name: getattr(self, name) for name in PLAIN}
        kind: dict[str, Any] = {} if self.type is None else {self.type: {}}
        expiry = self.slot_expire_time_config.as_dict()
        return {
            "entry_config": self.entry_config.as_dict(),
            **plain,
            **kind,
            "slot_expire_time_config": expiry,
        }

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> EmbeddingHashTableConfig:
        """What a dict describes; what is left out has the proto's default."""
        names = ["entry_config", "slot_expire_time_config", "cuckoo", *PLAIN]
        _is_dict(description, names, "a table's configuration")
        given = {name: description[name] for name in PLAIN if name in description}
        if str(given.get("initial_capacity", "")).isdecimal():
            given["initial_capacity"] = int(
                given["initial_capacity"]
            )  # protobuf writes 64-bit integers as strings
        return cls(
            EntryConfig.from_dict(description.get("entry_config", {})),
            type="cuckoo" if "cuckoo" in description else None,
            slot_expire_time_config=SlotExpireTimeConfig.from_dict(
                description.get("slot_expire_time_config", {})
            ),
            **given,
        )


PLAIN = (
    "entry_type", "initial_capacity", "enable_feature_eviction", "feature_evict_every_n_hours", "skip_zero_embedding",
)  # fmt: skip


def _one_of(what: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise AttributeValueError(f"{what} = {value!r} must be one of {', '.join(map(repr, allowed))}")


def _is_dict(description: Any, names: list[str], what: str) -> None:
    if not isinstance(description, Mapping):
        raise FormatError(f"{what}: expected a dict, got {description!r}")
    known_only(description, names, what)


class HashTableConfig:
    """Something that fills in the part of a table's configuration that it knows. Subclasses give `mutate_table`."""

    def mutate_table(self, table_config: EmbeddingHashTableConfig) -> None:
        """Fill in what this knows, in place."""
        raise RuleError(f"{type(self).__name__} must define mutate_table(table_config)")


@dataclass(frozen=True)
class CuckooHashTableConfig(HashTableConfig):
    """The map of ids: room for how many rows from the start, and eviction every so many hours; 0: none.

    >>> config = EmbeddingHashTableConfig()
    >>> CuckooHashTableConfig(1 << 20, feature_evict_every_n_hours=24).mutate_table(config)
    >>> config.initial_capacity, config.enable_feature_eviction
    (1048576, True)
    """

    initial_capacity: int = 1
    feature_evict_every_n_hours: int = 0

    def __post_init__(self) -> None:
        for name, spec in (("initial_capacity", CAPACITY), ("feature_evict_every_n_hours", NO_HOURS)):
            object.__setattr__(self, name, spec.parse(getattr(self, name), f"CuckooHashTableConfig: {name}"))

    def mutate_table(self, table_config: EmbeddingHashTableConfig) -> None:
        """Set the capacity and the kind, and with hours above 0 eviction, in place."""
        table_config.initial_capacity = self.initial_capacity
        table_config.type = "cuckoo"
        if self.feature_evict_every_n_hours > 0:
            table_config.enable_feature_eviction = True
            table_config.feature_evict_every_n_hours = self.feature_evict_every_n_hours
