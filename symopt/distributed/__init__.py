"""Tables and optimizer state on several processes, with the bits of one."""

from .cluster import Cluster
from .dense import ShardedOptimizer
from .inprocess import InProcess
from .kvstore import KVStore, create
from .pace import Pace
from .pairwise import tree_sum
from .partition import Partition, bucket_of, hottest
from .status import CheckpointStatus, ClusterStatus, ShardStatus, TableStatus
from .table import ShardedTable
from .workers import Workers

__all__ = [
    "CheckpointStatus",
    "Cluster",
    "ClusterStatus",
    "InProcess",
    "KVStore",
    "Pace",
    "Partition",
    "ShardStatus",
    "ShardedOptimizer",
    "ShardedTable",
    "TableStatus",
    "Workers",
    "bucket_of",
    "create",
    "hottest",
    "tree_sum",
]
