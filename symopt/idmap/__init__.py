"""Any int64 id to the number of a row."""

from .idmap import IdMap
from .inserted import Inserted
from .unique import Unique, sum_by, unique

__all__ = ["IdMap", "Inserted", "Unique", "sum_by", "unique"]
