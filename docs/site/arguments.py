"""Lines of a docstring that say what an argument is, "name: what" or "name, other: what", are shown as a list, if there
are three or more; fewer are read as a sentence."""

import re
from typing import Any

import griffe

ARGUMENT = re.compile(r"^([a-z_]\w*(?:, [a-z_]\w*)*): (?=\S)")
FEWEST = 3


class Arguments(griffe.Extension):
    """An extension of the reader of docstrings. Names are looked up among the arguments, so that no sentence with a
    colon is taken for one."""

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Those of the constructor; of a dataclass, its fields."""
        made = cls.members.get("__init__")
        own = {p.name for p in made.parameters} if isinstance(made, griffe.Function) else set()
        _listed(cls, own | {name for name, x in cls.members.items() if x.is_attribute})

    def on_function_instance(self, *, func: griffe.Function, **_: Any) -> None:
        """Those of a function."""
        _listed(func, {p.name for p in func.parameters})


def _listed(obj: griffe.Object, names: set[str]) -> None:
    if obj.docstring is not None:
        obj.docstring.value = listed(obj.docstring.value, names)


def listed(text: str, names: set[str]) -> str:
    """The text with arguments as a list; lines that follow one and are set in belong to it.

    >>> print(listed("A row.\\n\\nrow: its number,\\n    from 0\\nrate: a number\\nid: its id", {"row", "rate", "id"}))
    A row.
    <BLANKLINE>
    * `row`: its number,
      from 0
    * `rate`: a number
    * `id`: its id
    """
    given = text.splitlines()
    matches = [_argument(line, names) for line in given]
    if sum(map(bool, matches)) < FEWEST:
        return text
    lines: list[str] = []
    within = False
    for line, found in zip(given, matches, strict=True):
        if found:
            if lines and lines[-1] and not within:
                lines.append("")
            within = True
            called = ", ".join(f"`{name}`" for name in found[1].split(", "))
            lines.append(f"* {called}: {line[found.end() :]}")
        elif within and line.startswith("    "):
            lines.append("  " + line.strip())
        else:
            if within and line:
                lines.append("")
            within = False
            lines.append(line)
    return "\n".join(lines)


def _argument(line: str, names: set[str]) -> re.Match[str] | None:
    found = ARGUMENT.match(line)
    return found if found and names.issuperset(found[1].split(", ")) else None
