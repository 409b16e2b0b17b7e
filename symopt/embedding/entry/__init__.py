"""`so.embedding.entry`: what a row of a table is made of, in the classes of Monolith's entry.py.

All are plain data: an optimizer names a rule of symopt's and its attributes, and none of them knows of tables.

>>> parts = RandomUniformInitializer(), AdagradOptimizer(0.05), Fp16Compressor()
>>> segment = CombineAsSegment(16, *parts)
>>> segment.opt_config.rule, segment.opt_config.state_floats(16)
('monolith_adagrad', 16)
"""

from ..slots import slot_of
from .compressors import Compressor, FixedR8Compressor, Fp16Compressor, Fp32Compressor, OneBitCompressor
from .features import FeatureFactory, FeatureSlice, FeatureSlot, FeatureSlotConfig
from .initializers import (
    BatchSoftmaxInitializer,
    ConstantsInitializer,
    Initializer,
    OnesInitializer,
    RandomNormalInitializer,
    RandomUniformInitializer,
    ZerosInitializer,
)
from .instance import HashTableConfigInstance
from .learning_rates import LearningRateFunction, PolynomialDecay
from .optimizer import Optimizer, blocks_of
from .optimizers import (
    AdadeltaOptimizer,
    AdagradOptimizer,
    AdaGradWithGroupLassoOptimizer,
    AdamOptimizer,
    AmsgradOptimizer,
    BatchSoftmaxOptimizer,
    DynamicWdAdagradOptimizer,
    FtrlOptimizer,
    FTRLWithGroupSparsityOptimizer,
    MomentumOptimizer,
    MovingAverageOptimizer,
    RmspropOptimizer,
    RmspropV2Optimizer,
    SgdOptimizer,
)
from .segments import CombineAsSegment, SegmentConfig
from .slot_configs import SlotExpireTimeConfig, SlotOccurrenceThresholdConfig
from .tables import CuckooHashTableConfig, EmbeddingHashTableConfig, EntryConfig, HashTableConfig
from .wrappers import DcOptimizer, StochasticRoundingFloat16OptimizerWrapper

__all__ = [
    "AdaGradWithGroupLassoOptimizer",
    "AdadeltaOptimizer",
    "AdagradOptimizer",
    "AdamOptimizer",
    "AmsgradOptimizer",
    "BatchSoftmaxInitializer",
    "BatchSoftmaxOptimizer",
    "CombineAsSegment",
    "Compressor",
    "ConstantsInitializer",
    "CuckooHashTableConfig",
    "DcOptimizer",
    "DynamicWdAdagradOptimizer",
    "EmbeddingHashTableConfig",
    "EntryConfig",
    "FTRLWithGroupSparsityOptimizer",
    "FeatureFactory",
    "FeatureSlice",
    "FeatureSlot",
    "FeatureSlotConfig",
    "FixedR8Compressor",
    "Fp16Compressor",
    "Fp32Compressor",
    "FtrlOptimizer",
    "HashTableConfig",
    "HashTableConfigInstance",
    "Initializer",
    "LearningRateFunction",
    "MomentumOptimizer",
    "MovingAverageOptimizer",
    "OneBitCompressor",
    "OnesInitializer",
    "Optimizer",
    "PolynomialDecay",
    "RandomNormalInitializer",
    "RandomUniformInitializer",
    "RmspropOptimizer",
    "RmspropV2Optimizer",
    "SegmentConfig",
    "SgdOptimizer",
    "SlotExpireTimeConfig",
    "SlotOccurrenceThresholdConfig",
    "StochasticRoundingFloat16OptimizerWrapper",
    "ZerosInitializer",
    "blocks_of",
    "slot_of",
]
