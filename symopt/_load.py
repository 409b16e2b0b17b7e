"""Find the op definitions: symopt/ops in an installed copy, ../ops in a source checkout."""

import os
import sys
from importlib import import_module
from types import ModuleType

NAME = "symopt.ops"


def load_ops() -> ModuleType:
    """The package symopt.ops, wherever it lies."""
    package = os.path.dirname(os.path.abspath(__file__))
    root = os.path.dirname(package)
    if not os.path.isdir(os.path.join(package, "ops")) and os.path.isfile(
        os.path.join(root, "pyproject.toml")
    ):
        _load_from(os.path.join(root, "ops"))
    return import_module(NAME)


def _load_from(folder: str) -> None:
    from importlib.util import module_from_spec, spec_from_file_location

    init = os.path.join(folder, "__init__.py")
    spec = spec_from_file_location(NAME, init, submodule_search_locations=[folder])
    assert spec is not None and spec.loader is not None
    sys.modules[NAME] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[NAME])
