"""symopt's own test of the `torch_` ops, which steps torch.optim beside them, run where torch is."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

TESTS = ("tests/test_torch.py", "tests/test_torch_matrices.py")
SECONDS = 1800


def torch_section(interpreter: Path, root: Path) -> tuple[str, bool]:
    """The section of the page, and whether every test passed."""
    tests = [test for test in TESTS if (root / test).exists()]
    named = " and ".join(f"`{test}`" for test in tests)
    if not tests:
        return "## torch\n\nThere is no test of it yet.\n", True
    code = "import torch; print(torch.__version__.partition('+')[0])"
    version = subprocess.run(
        [str(interpreter), "-c", code], capture_output=True, text=True, timeout=300
    ).stdout.strip()
    command = [str(interpreter), "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"## torch {version}\n\n{named} were not done after {SECONDS} s.\n", False
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|errors?|skipped)", done.stdout)}
    shown = ", ".join(f"{n} {word}" for word, n in counts.items()) or done.stdout[-500:] + done.stderr[-500:]
    text = f"{named} step every class of torch.optim that has an op here, in all combinations of flags: {shown}.\n"
    return f"## torch {version}\n\n{text}", done.returncode == 0 and bool(counts.get("passed"))
