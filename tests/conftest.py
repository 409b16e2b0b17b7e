"""Options of the test suite, and what every test leaves behind: nothing."""

import os
from collections.abc import Iterator

import pytest

import symopt as so
from symopt.backends import launch
from symopt.backends.cuda import hostcompiler
from symopt.codegen.emit import BLOCK
from symopt.errors import DependencyError
from symopt.opdef import OPS


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/golden/*.txt anew")


@pytest.fixture(autouse=True)
def registered_ops() -> Iterator[None]:
    """Ops that a test or an example registers are gone after it: others go through all of them, or take their name."""
    before = dict(OPS)
    yield
    OPS.clear()
    OPS.update(before)


@pytest.fixture
def shared_early(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small launches are shared out over threads too, so that the number of threads can show."""
    monkeypatch.setattr(launch, "SHARED_BYTES", {})
    monkeypatch.setattr(launch, "SHARED_BYTES_DENSE", 4096)
    monkeypatch.setattr(launch, "CHUNK", BLOCK)
    yield
    so.set_num_threads(None)


@pytest.fixture(scope="session")
def cxx() -> None:
    """For tests that emulate: skips them where no C++ compiler is, and fails them where continuous integration runs."""
    try:
        hostcompiler.compiler()
    except DependencyError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
