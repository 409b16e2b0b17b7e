"""Names and attributes for nodes under construction: NameManager, Prefix, AttrScope, a set per thread."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import TracebackType

from .errors import AttributeValueError

# MXNet files these away as `__key__` and shows them under both spellings.
HIDDEN_KEYS = ("ctx_group", "lr_mult", "wd_mult", "force_mirroring", "mirror_stage", "profiler_scope")
NAMESPACES = ("_contrib_", "_sparse_", "_npi_", "_np_")


class NameManager:
    """Names nodes that were given none: hint and counter, one counter per hint.

    >>> with NameManager() as names:
    ...     names.get(None, "adam_update"), names.get(None, "adam_update"), names.get("fc1", "adam_update")
    ('adam_update0', 'adam_update1', 'fc1')
    """

    def __init__(self) -> None:
        self._counters: dict[str, int] = {}

    def get(self, name: str | None, hint: str) -> str:
        """`name` if there is one, else the next name made from the hint."""
        if name:
            return name
        count = self._counters.get(hint, 0)
        self._counters[hint] = count + 1
        return f"{hint}{count}"

    def __enter__(self) -> NameManager:
        _scopes.names.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _scopes.names.pop()


class Prefix(NameManager):
    """Puts a prefix before the name of every op node, given or made.

    >>> with Prefix("net_") as names:
    ...     names.get(None, "sqrt"), names.get("fc1", "sqrt")
    ('net_sqrt0', 'net_fc1')
    """

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self._prefix = prefix

    def get(self, name: str | None, hint: str) -> str:
        """The prefix, then what a NameManager would say."""
        return self._prefix + super().get(name, hint)


class AttrScope:
    """String attributes for every variable and op node made inside; inner scopes and explicit attributes win.

    >>> with AttrScope(__group__="a", __mood__="calm"), AttrScope(__group__="b"):
    ...     merged_attrs({"__mood__": "brisk"})
    {'__group__': 'b', '__mood__': 'brisk'}
    """

    def __init__(self, **attrs: str) -> None:
        self._attrs = checked_attrs(attrs)

    def get(self, attr: Mapping[str, str] | None) -> dict[str, str]:
        """The scope's own attributes, overridden by `attr`."""
        return {**self._attrs, **checked_attrs(attr or {})}

    def __enter__(self) -> AttrScope:
        _scopes.attrs.append({**_scopes.attrs[-1], **self._attrs})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _scopes.attrs.pop()


class _Scopes(threading.local):
    """The stacks of entered scopes; every thread starts with fresh counters and no attributes."""

    def __init__(self) -> None:
        self.names: list[NameManager] = [NameManager()]
        self.attrs: list[dict[str, str]] = [{}]


_scopes = _Scopes()


def make_name(name: str | None, hint: str) -> str:
    """The name of an op node under the scopes this thread has entered."""
    return _scopes.names[-1].get(name, hint)


def merged_attrs(attr: Mapping[str, str] | None) -> dict[str, str]:
    """The attributes of the scopes this thread has entered, overridden by `attr`; always a new dict."""
    scope = _scopes.attrs[-1]
    return {**scope, **checked_attrs(attr)} if attr else dict(scope)


def checked_attrs(attrs: Mapping[str, str]) -> dict[str, str]:
    """A copy with hidden keys as `__key__`; AttributeValueError if a value is no string."""
    checked = {}
    for key, value in attrs.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise AttributeValueError(f"attribute {key} must be a string, got {value!r}")
        if key in ("__out__", "__scalars__"):
            raise AttributeValueError(
                f"attribute {key} is symopt's own: give out= or a Symbol as attribute instead"
            )
        checked[f"__{key}__" if key in HIDDEN_KEYS else key] = value
    return checked


def hint_of(op_name: str) -> str:
    """What nodes made by calling `op_name` are called, before the counter: as MXNet, without the namespace.

    >>> hint_of("_contrib_group_adagrad_update"), hint_of("Cast"), hint_of("_plus_scalar")
    ('group_adagrad_update', 'cast', '_plus_scalar')
    """
    for prefix in NAMESPACES:
        op_name = op_name.removeprefix(prefix)
    return op_name.lower()
