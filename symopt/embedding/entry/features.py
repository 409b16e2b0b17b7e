"""Tables put together slot by slot: one slot holds the ids of one feature, and slices of its rows are used apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ...arrays import Array
from ...errors import AttributeValueError, MissingArgumentError
from ...idmap.given import as_ids
from ..slots import SLOTS
from .arguments import Spec
from .compressors import Compressor, Fp16Compressor, Fp32Compressor
from .initializers import Initializer, RandomUniformInitializer, ZerosInitializer
from .instance import HashTableConfigInstance
from .learning_rates import LearningRate, check_learning_rate
from .optimizer import Optimizer
from .optimizers import AdagradOptimizer, FtrlOptimizer
from .segments import CombineAsSegment, SegmentConfig
from .slot_configs import CENTURY, SlotExpireTimeConfig, SlotOccurrenceThresholdConfig
from .tables import CuckooHashTableConfig, EmbeddingHashTableConfig, EntryConfig, HashTableConfig

SHIFT = 48  # of the slot in an id; the bits below are the feature's
SLOT = Spec("whole", None, low=0, high=SLOTS - 1)

# A slot's defaults.
ZEROS, UNIFORM = ZerosInitializer(), RandomUniformInitializer()
FTRL = FtrlOptimizer(initial_accumulator_value=1e-6, beta=1.0)
ADAGRAD = AdagradOptimizer(initial_accumulator_value=1.0)
FP16, FP32 = Fp16Compressor(), Fp32Compressor()
CUCKOO = CuckooHashTableConfig()


@dataclass(frozen=True)
class FeatureSlotConfig:
    """What a slot's slices are if they do not say otherwise, with Monolith's defaults.

    Of the bias: ZerosInitializer, FtrlOptimizer(initial_accumulator_value=1e-6, beta=1.0), Fp32Compressor. Of vectors:
    RandomUniformInitializer, AdagradOptimizer(initial_accumulator_value=1.0), Fp16Compressor. Learning rates: those
    given here, of the bias too if it has none of its own, else the optimizers'.

    `slot_id`: 0 to 32767, in the ids; `name`: of the table, by default the slot's number. `has_bias`: a first slice of
    one column. `occurrence_threshold`: earlier occurrences before an id gets a row. `expire_time`: days.
    """

    name: str | None = None
    has_bias: bool = False
    bias_initializer: Initializer = ZEROS
    bias_optimizer: Optimizer = FTRL
    bias_compressor: Compressor = FP32
    bias_learning_rate_fn: LearningRate | None = None
    default_vec_initializer: Initializer = UNIFORM
    default_vec_optimizer: Optimizer = ADAGRAD
    default_vec_compressor: Compressor = FP16
    default_vec_learning_rate_fn: LearningRate | None = None
    hashtable_config: HashTableConfig = CUCKOO
    slot_id: int | None = None
    occurrence_threshold: int = 0
    expire_time: int = CENTURY

    def __post_init__(self) -> None:
        if self.slot_id is not None:
            object.__setattr__(self, "slot_id", SLOT.parse(self.slot_id, "FeatureSlotConfig: slot_id"))
        if not self.name and self.slot_id is None:
            raise MissingArgumentError(
                "FeatureSlotConfig: give a name or a slot_id: the table is called by it"
            )
        object.__setattr__(self, "name", self.name or str(self.slot_id))
        SlotOccurrenceThresholdConfig(self.occurrence_threshold).check()
        SlotExpireTimeConfig(self.expire_time).check()


class FeatureSlice(NamedTuple):
    """Some columns of a slot's rows, from `start` to before `end`."""

    feature_slot: FeatureSlot
    start: int
    end: int

    @property
    def columns(self) -> slice:
        """The columns, to index rows with: `rows[:, s.columns]`."""
        return slice(self.start, self.end)


class FeatureSlot:
    """The slices of one slot, and the table that they make.

    >>> slot = FeatureSlot(FeatureSlotConfig(slot_id=7, has_bias=True))
    >>> user, item = slot.add_feature_slice(8), slot.add_feature_slice(24)
    >>> item.columns, slot.unmerged_slice_dims
    (slice(9, 33, None), [1, 8, 24])
    >>> config = slot.config_instance().table_config
    >>> [segment.dim_size for segment in config.entry_config.segments]
    [1, 32]
    """

    def __init__(self, config: FeatureSlotConfig) -> None:
        self.config = config
        self._slices: list[tuple[SegmentConfig, LearningRate]] = []
        self._bias_slice: FeatureSlice | None = None
        if config.has_bias:
            bias = (config.bias_initializer, config.bias_optimizer, config.bias_compressor)
            self._bias_slice = self.add_feature_slice(1, *bias, config.bias_learning_rate_fn)

    def __repr__(self) -> str:
        return f"<FeatureSlot {self.name!r}: {self.dim} columns>"

    @property
    def name(self) -> str:
        """The table's name."""
        return str(self.config.name)

    @property
    def slot(self) -> int | None:
        """The slot's number in ids."""
        return self.config.slot_id

    @property
    def dim(self) -> int:
        """Columns of a row."""
        return sum(self.unmerged_slice_dims)

    @property
    def unmerged_slice_dims(self) -> list[int]:
        """Columns of each slice, in order."""
        return [segment.dim_size for segment, _ in self._slices]

    def add_feature_slice(
        self,
        dim_size: int,
        initializer: Initializer | None = None,
        optimizer: Optimizer | None = None,
        compressor: Compressor | None = None,
        learning_rate_fn: LearningRate | None = None,
    ) -> FeatureSlice:
        """`dim_size` columns more; what is not given is the slot's default.

        Without a learning rate here or in the slot, it is the optimizer's: a constant, or with `warmup_steps`
        PolynomialDecay from 0 to it.
        """
        config, start = self.config, self.dim
        segment = CombineAsSegment(
            dim_size,
            config.default_vec_initializer if initializer is None else initializer,
            config.default_vec_optimizer if optimizer is None else optimizer,
            config.default_vec_compressor if compressor is None else compressor,
        )
        given = config.default_vec_learning_rate_fn if learning_rate_fn is None else learning_rate_fn
        rate = segment.opt_config.rate() if given is None else check_learning_rate(given, "learning_rate_fn")
        self._slices.append((segment, 0.0 if rate is None else rate))
        return FeatureSlice(self, start, start + segment.dim_size)

    def get_bias_slice(self) -> FeatureSlice:
        """The slice of the bias. MissingArgumentError without `has_bias`."""
        if self._bias_slice is None:
            raise MissingArgumentError(
                f"slot {self.name!r} has no bias: give has_bias=True to its FeatureSlotConfig"
            )
        return self._bias_slice

    def ids(self, features: object) -> Array:
        """Ids of this slot, (n,) int64, from numbers or hashes of features, of which the low 48 bits are kept."""
        if self.slot is None:
            raise MissingArgumentError(
                f"slot {self.name!r} has no number: give slot_id to its FeatureSlotConfig"
            )
        low: Array = as_ids(np.asarray(features), "features") & np.int64((1 << SHIFT) - 1)
        return low | np.int64(self.slot << SHIFT)

    def config_instance(self, expiry: SlotExpireTimeConfig | None = None) -> HashTableConfigInstance:
        """The table's configuration; neighbouring slices that differ in width only are one segment of it.

        `expiry`: of all slots, by default this one's only.
        """
        if not self._slices:
            raise MissingArgumentError(f"slot {self.name!r} has no slice: call add_feature_slice")
        segments, rates = zip(*_merged(self._slices))
        table = EmbeddingHashTableConfig(EntryConfig(list(segments)))
        own = {} if self.slot is None else {self.slot: self.config.expire_time}
        table.slot_expire_time_config = (
            SlotExpireTimeConfig(slot_expire_times=own) if expiry is None else expiry
        )
        self.config.hashtable_config.mutate_table(table)
        return HashTableConfigInstance(table, rates)


def _merged(slices: list[tuple[SegmentConfig, LearningRate]]) -> Iterator[tuple[SegmentConfig, LearningRate]]:
    """Neighbours that differ in their width only, as one."""
    last, last_rate = slices[0]
    for segment, rate in slices[1:]:
        if replace(segment, dim_size=last.dim_size) == last and str(rate) == str(last_rate):
            last = replace(last, dim_size=last.dim_size + segment.dim_size)
        else:
            yield last, last_rate
            last, last_rate = segment, rate
    yield last, last_rate


class FeatureFactory:
    """All slots of a model, and the tables that they need.

    >>> factory = FeatureFactory()
    >>> for slot_id in (3, 5):
    ...     slot = factory.create_feature_slot(FeatureSlotConfig(slot_id=slot_id))
    ...     _ = slot.add_feature_slice(16)
    >>> list(factory.merged_tables())
    [('3', '5')]
    """

    def __init__(self) -> None:
        self.slots: dict[str, FeatureSlot] = {}

    def __repr__(self) -> str:
        return f"<FeatureFactory with columns of {', '.join(f'{n}: {s.dim}' for n, s in self.slots.items())}>"

    def create_feature_slot(self, config: FeatureSlotConfig) -> FeatureSlot:
        """A slot with its defaults. AttributeValueError (a ValueError) for a name that is taken, or another
        threshold or expiry for the ids of a slot that is here by another name.
        """
        if config.name in self.slots:
            raise AttributeValueError(f"a slot called {config.name!r} is there already")
        for other in self.slots.values():
            same = (other.config.occurrence_threshold, other.config.expire_time)
            if config.slot_id == other.slot is not None and same != (
                config.occurrence_threshold,
                config.expire_time,
            ):
                raise AttributeValueError(
                    f"slot {config.name!r}: slot_id {config.slot_id} is also {other.name!r}'s, with "
                    f"(occurrence_threshold, expire_time) = {same}; both belong to the ids, and must be the same"
                )
        made = self.slots[str(config.name)] = FeatureSlot(config)
        return made

    @property
    def slot_to_occurrence_threshold(self) -> dict[int, int]:
        """Earlier occurrences that the ids of each slot need."""
        return {s.slot: s.config.occurrence_threshold for s in self.slots.values() if s.slot is not None}

    @property
    def slot_to_expire_time(self) -> dict[int, int]:
        """Days that rows of each slot live."""
        return {s.slot: s.config.expire_time for s in self.slots.values() if s.slot is not None}

    def tables(self) -> dict[str, HashTableConfigInstance]:
        """The configuration of each slot's table, by name, in the order of names; all know the expiry of all slots."""
        expiry = SlotExpireTimeConfig(slot_expire_times=self.slot_to_expire_time)
        return {name: self.slots[name].config_instance(expiry) for name in sorted(self.slots)}

    def merged_tables(self) -> dict[tuple[str, ...], HashTableConfigInstance]:
        """One configuration for all slots that have the same, by their names.

        Ids of different slots must differ then, as they do if made by `FeatureSlot.ids`: an id that two slots share is
        one row.
        """
        tables = self.tables()
        groups: dict[str, list[str]] = {}
        for name, instance in tables.items():
            groups.setdefault(str(instance), []).append(name)
        return {tuple(names): tables[names[0]] for names in groups.values()}
