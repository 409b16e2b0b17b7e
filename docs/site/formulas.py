"""Formulas between dollars, as MathML."""

import re
from typing import Any

from latex import LatexError, mathml
from mkdocs.exceptions import PluginError

# Code first: dollars in it are none of ours.
PIECES = re.compile(
    r"(?P<code>^ *(?P<ticks>```+)(?s:.*?)^ *(?P=ticks) *$|`[^`\n]+`)"
    r"|^\$\$\n(?P<block>(?s:.*?))\n\$\$$|\$(?P<line>[^$\n]+)\$",
    re.M,
)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put MathML in place of LaTeX."""

    def written(match: re.Match[str]) -> str:
        if match["code"]:
            return match[0]
        try:
            if match["block"]:
                return f'<div class="formula">{mathml(match["block"], display=True)}</div>'
            return f"<span>{mathml(match['line'])}</span>"  # Markdown would end the paragraph before a line with math
        except LatexError as error:
            raise PluginError(f"{page.file.src_uri}: {error}") from None

    return PIECES.sub(written, markdown)
