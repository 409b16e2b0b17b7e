"""A page may link to a file of the repository that is no page: the site then has a page that shows the file."""

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

LINK = re.compile(r"(\]\()((?:\.\./)+[^)#\s]+)(\))")
ROOT = Path(__file__).parents[2]
LANGUAGES = {".py": "python", ".toml": "toml", ".mjs": "javascript"}


def on_files(files: Any, config: Any) -> Any:
    """Add a page `source/<path>.md` for every file that a page links to."""
    found = set()
    for page in files.documentation_pages():
        found |= {
            path
            for _, target, _ in LINK.findall(page.content_string)
            if (path := _outside(page.src_uri, target))
        }
    for path in sorted(found):
        text = (ROOT / path).read_text(encoding="utf-8")
        language = LANGUAGES.get(Path(path).suffix, "text")
        content = (
            f"---\nsearch:\n  exclude: true\nhide: [toc]\n---\n\n# {path}\n\n````{language}\n{text}````\n"
        )
        files.append(File.generated(config, f"source/{path}.md", content=content, inclusion=_unlisted()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point such links at those pages."""
    here = page.file.src_uri

    def moved(match: re.Match[str]) -> str:
        path = _outside(here, match[2])
        return match[0] if path is None else f"{match[1]}{_relative(here, f'source/{path}.md')}{match[3]}"

    return LINK.sub(moved, markdown)


def _outside(page: str, target: str) -> str | None:
    """The path in the repository of what a page links to, if that is a file outside docs/."""
    path = os.path.normpath(os.path.join("docs", os.path.dirname(page), target))
    return path if not path.startswith((f"docs{os.sep}", "..")) and (ROOT / path).is_file() else None


def _relative(page: str, target: str) -> str:
    return os.path.relpath(target, os.path.dirname(page) or ".")


def _unlisted() -> Any:
    from mkdocs.structure.files import InclusionLevel

    return InclusionLevel.NOT_IN_NAV
