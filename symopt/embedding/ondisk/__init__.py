"""Tables whose rows are in a file: bigger than memory, and there again after a crash."""

from .options import OnDisk

__all__ = ["OnDisk"]
