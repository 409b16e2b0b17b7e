"""What pages say in the Markdown of repositories and mkdocs says otherwise: fences with marks, lists in lists."""

import re
from typing import Any

FENCE = re.compile(r"^(\s*)(```+)(\w+) (gpu|torch|ray|not run: .*)$")
REMARK = re.compile(r"\A<!--.*?-->\s*", re.S)  # a page that begins with one would be called after its file
DEEPER = re.compile(r"^( +)(?=[*-] )")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """A fence's mark becomes its title; a list in a list is set in by four spaces instead of two."""
    lines, fence = [], ""
    for line in REMARK.sub("", markdown).splitlines():
        ticks = re.match(r"\s*(```+)", line)
        if ticks and not fence:
            fence = ticks[1]
            line = FENCE.sub(_titled, line)
        elif ticks and line.strip() == fence:
            fence = ""
        elif not fence:
            line = DEEPER.sub(lambda m: m[1] * 2, line)
        lines.append(line)
    return "\n".join(lines) + "\n"


def _titled(match: re.Match[str]) -> str:
    needed = {"gpu": "needs a GPU", "torch": "needs torch", "ray": "needs Ray"}
    title = needed.get(match[4]) or match[4].removeprefix("not run: ")
    return f'{match[1]}{match[2]}{match[3]} title="{title.replace(chr(34), chr(39))}"'
