"""Set-ups for the linter: wrong ones, each with the one code it must get, and good ones, which must get none."""

import lint_numbers
import lint_order
import lint_steps
import lint_storage
from lint_setups import GOOD, WRONG, Setup

__all__ = ["GOOD", "WRONG", "Setup", "lint_numbers", "lint_order", "lint_steps", "lint_storage"]
