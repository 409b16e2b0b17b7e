"""symopt's own tests beside torch.optim, run where torch is: `torch_` ops, `so.torch.optim`, state dicts."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

GROUPS = {
    "step every class of torch.optim that has an op here, in all combinations of flags": (
        "tests/test_torch.py",
        "tests/test_torch_matrices.py",
    ),
    "do so with `so.torch.optim` and real parameters, groups, schedulers and hooks; every class takes over the "
    "other's `state_dict()`, both ways, and goes on": (
        "tests/test_torch_optim.py",
        "tests/test_torch_machinery.py",
        "tests/test_torch_tensors.py",
    ),
    "begin runs in torch and go on with `so.compile`, and the other way round": (
        "tests/test_convert_torch.py",
    ),
}
SECONDS = 1800


def torch_section(interpreter: Path, root: Path) -> tuple[str, bool]:
    """The section of the page, and whether every test passed."""
    code = "import torch; print(torch.__version__.partition('+')[0])"
    version = subprocess.run(
        [str(interpreter), "-c", code], capture_output=True, text=True, timeout=300
    ).stdout.strip()
    told = [_run(interpreter, root, what, tests) for what, tests in GROUPS.items()]
    lines = "".join(f"* {text}\n" for text, _ in told)
    return f"## torch {version}\n\n{lines}", all(is_well for _, is_well in told)


def _run(interpreter: Path, root: Path, what: str, tests: tuple[str, ...]) -> tuple[str, bool]:
    """What some tests do and how they ended, and whether all passed."""
    named = ", ".join(f"`{test}`" for test in tests)
    command = [str(interpreter), "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"{named} were not done after {SECONDS} s.", False
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|errors?|skipped)", done.stdout)}
    shown = ", ".join(f"{n} {word}" for word, n in counts.items()) or done.stdout[-500:] + done.stderr[-500:]
    return f"{named} {what}: {shown}.", done.returncode == 0 and bool(counts.get("passed"))
