"""Options of the test suite, and what every test leaves behind: nothing."""

from collections.abc import Iterator

import pytest

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
