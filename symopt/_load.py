"""Find the op definitions: symopt/ops in an installed copy, ../ops in a source checkout."""

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

NAME = "symopt.ops"


def load_ops() -> ModuleType:
    """The package symopt.ops, wherever it lies."""
    root = Path(__file__).parents[1]
    init = root / "ops" / "__init__.py"
    if find_spec(NAME) is None and (root / "pyproject.toml").is_file():
        spec = spec_from_file_location(NAME, init, submodule_search_locations=[str(init.parent)])
        assert spec is not None and spec.loader is not None
        sys.modules[NAME] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[NAME])
    return import_module(NAME)
