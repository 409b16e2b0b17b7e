"""What the linter says of set-ups that are wrong, and that it says nothing of good ones."""

import pytest
from lint_corpus import GOOD, WRONG, Setup

from symopt.lint import RULES


@pytest.mark.parametrize("setup", WRONG, ids=str)
def test_a_wrong_setup_gets_its_one_code(setup: Setup) -> None:
    found = setup.build().lint(**setup.known)
    assert [f.code for f in found] == [setup.code], "\n".join(map(str, found))


@pytest.mark.parametrize("setup", GOOD, ids=str)
def test_a_good_setup_gets_none(setup: Setup) -> None:
    assert not setup.build().lint(**setup.known)


def test_every_rule_has_a_wrong_setup() -> None:
    assert {setup.code for setup in WRONG} == {rule.code for rule in RULES}
    assert len(WRONG) >= 25 and len(GOOD) >= 25
