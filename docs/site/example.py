"""The page of HTML that the page on inspection shows a picture of, made from its graph."""

import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

NAME = "inspection/example.html"


def on_files(files: Any, config: Any) -> Any:
    """Add the page."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    try:
        from pictures import page
    finally:
        del sys.path[0]
    files.append(File.generated(config, NAME, content=page()))
    return files
