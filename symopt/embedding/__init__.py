"""Embedding tables: rows for any int64 id, updated by any rule."""

from . import entry

__all__ = ["entry"]
