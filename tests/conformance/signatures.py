"""What MXNet says that its ops take, against what symopt's take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from update_cases import Known, find, is_update

from symopt.attrs import REQUIRED, Attr
from symopt.opdef import OpDef


def signature_differences(known: Known, version: int) -> Iterator[str]:
    """Update ops without a counterpart, and inputs and attributes that are not the same on both sides."""
    for name in sorted(filter(is_update, known)):
        op = find(name, version)
        if op is None:
            yield f"`{name}`: symopt has no such op yet"
            continue
        inputs = [n for n, kind in known[name].items() if "NDArray" in kind]
        if not op.is_variadic and inputs != list(op.input_names()):
            yield f"`{name}`: inputs {', '.join(op.input_names())} here, {', '.join(inputs)} there"
        attrs = {n: kind for n, kind in known[name].items() if "NDArray" not in kind and n != op.count}
        yield from (f"`{name}`: {text}" for text in _attr_differences(op, attrs))


def _attr_differences(op: OpDef, theirs: Mapping[str, str]) -> Iterator[str]:
    for name, kind in theirs.items():
        ours = op.attrs.get(name)
        if ours is None:
            yield f"has no `{name}` here"
        elif kind.endswith("required") != (ours.default is REQUIRED):
            yield f"`{name}` is {'required' if kind.endswith('required') else 'optional'} there, not here"
        elif not kind.endswith("required") and not _same_default(ours, kind.rpartition("default=")[2]):
            yield f"the default of `{name}` is {ours.default} here, {kind.rpartition('default=')[2]} there"


def _same_default(attr: Attr, text: str) -> bool:
    return bool(np.float32(text.strip("'")) == np.float32(attr.default))
