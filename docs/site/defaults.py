"""Defaults of dataclasses that a function of ours makes, `momentum = share(0.9)`, are shown as what they are."""

import dataclasses
from importlib import import_module
from typing import Any

import griffe


class Defaults(griffe.Extension):
    """An extension of the reader of classes."""

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Put the value in place of the call."""
        called = [x for x in cls.members.values() if isinstance(getattr(x, "value", None), griffe.ExprCall)]
        if not called:
            return
        made = getattr(import_module(cls.module.path), cls.name, None)
        if made is None or not dataclasses.is_dataclass(made):
            return
        found = {field.name: field for field in dataclasses.fields(made)}
        for attribute in called:
            field = found.get(attribute.name)
            if field is not None and field.default_factory is dataclasses.MISSING:
                needed = field.default is dataclasses.MISSING
                attribute.value = None if needed else repr(field.default)  # type: ignore[union-attr]
