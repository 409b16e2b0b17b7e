"""What gets installed: every package of the engine, the formulas as symopt.ops, and nothing called ops."""

import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILD = "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"
IMPORT = "import symopt, symopt.ops.adam, symopt.backends; print(symopt.__file__)"


def packages() -> set[str]:
    folders = {p.parent.relative_to(ROOT) for p in (ROOT / "symopt").rglob("*.py")}
    return {".".join(folder.parts) for folder in folders} | {"symopt.ops"}


def test_pyproject_lists_every_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["tool"]["setuptools"]["packages"]) == packages()


def test_every_package_has_an_init() -> None:
    folders = {p.parent for p in (ROOT / "symopt").rglob("*.py")}
    assert [f for f in folders if not (f / "__init__.py").is_file()] == []


def test_ops_refuses_to_be_imported_as_ops() -> None:
    done = subprocess.run([sys.executable, "-c", "import ops"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert "import symopt, not ops" in done.stderr


def test_the_wheel_holds_symopt_ops_and_no_ops(tmp_path: Path) -> None:
    if int(version("setuptools").split(".")[0]) < 77:
        pytest.skip("needs setuptools >= 77, as pyproject.toml says")
    for name in (
        "symopt",
        "ops",
        "pyproject.toml",
        "LICENSE",
        "README.md",
    ):  # setuptools leaves a build/ behind
        if (ROOT / name).exists():
            (tmp_path / name).symlink_to(ROOT / name)
    built = subprocess.run(
        [sys.executable, "-c", BUILD, "dist"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    wheel = next((tmp_path / "dist").glob("symopt-*.whl"))
    names = zipfile.ZipFile(wheel).namelist()
    assert {n.split("/")[0] for n in names if ".dist-info/" not in n} == {"symopt"}
    sources = [p.relative_to(ROOT) for p in (ROOT / "symopt").rglob("*.py")]
    sources += [Path("symopt", p.relative_to(ROOT)) for p in (ROOT / "ops").rglob("*.py")]
    assert {p.as_posix() for p in sources} <= set(names)
    assert "symopt/py.typed" in names
    run = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(wheel)!r}); {IMPORT}"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert str(wheel) in run.stdout
