"""Examples in docstrings are shown as code: sessions that begin with >>> are put in fences."""

import re
from typing import Any

import griffe

SESSION = re.compile(r"(?:^>>> .*\n?)(?:^(?!\s*$).*\n?)*", re.M)


class Doctests(griffe.Extension):
    """An extension of the reader of docstrings."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Put sessions in fences."""
        if obj.docstring is not None and ">>>" in obj.docstring.value:
            obj.docstring.value = SESSION.sub(
                lambda m: f"```pycon\n{m[0].rstrip()}\n```\n", obj.docstring.value
            )
