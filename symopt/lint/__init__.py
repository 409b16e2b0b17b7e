"""Set-ups that are legal and usually wrong, read off formulas: `symbol.lint()`, `executor.lint()`.

A rule has a stable code and a page in docs/lint/. No rule names an op: what it asks is asked of the op's formula.
"""

from .finding import Finding
from .rule import Rule
from .rules import RULES
from .run import lint

__all__ = ["RULES", "Finding", "Rule", "lint"]
