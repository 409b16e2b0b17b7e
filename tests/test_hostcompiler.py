"""Libraries of the emulator: kept on disk, made anew when broken, and errors in the compiler's own words."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from handwritten import ADD

from symopt.backends.cuda import emulator, hostcompiler
from symopt.backends.cuda.device import Source
from symopt.backends.cuda.emulator import Emulator
from symopt.errors import DependencyError

pytestmark = pytest.mark.usefixtures("cxx")


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache on disk, and none in memory."""
    monkeypatch.setenv("SYMOPT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(emulator, "_loaded", {})
    yield tmp_path / "emulator"


def test_a_library_is_kept_on_disk(fresh: Path) -> None:
    sources = [Source(f"{ADD} // {i}", ("k",)) for i in range(3)]
    before = hostcompiler.compiled_count()
    Emulator().load([*sources, sources[0]])
    assert hostcompiler.compiled_count() == before + 3
    emulator._loaded.clear()
    Emulator().load(sources)
    assert hostcompiler.compiled_count() == before + 3
    assert len(list(fresh.iterdir())) == 3, "nothing but the libraries is left"
    emulator._loaded.clear()
    broken = next(fresh.iterdir())
    half = broken.read_bytes()[:-1000]
    broken.unlink()  # this process still uses that file
    broken.write_bytes(half)
    Emulator().load(sources)
    assert hostcompiler.compiled_count() == before + 4


def test_the_compilers_words_are_in_the_error(fresh: Path) -> None:
    good, wrong = (
        Source(ADD, ("k",)),
        Source('\nextern "C" __global__ void k(float* x) { x[0] = y; }', ("k",)),
    )
    with pytest.raises(hostcompiler.CompilationError, match=r"(?s)refuses the text.*kernels.cu:2:.*'?y'?"):
        Emulator().load([good, wrong])
    with pytest.raises(hostcompiler.CompilationError, match="absent"):
        Emulator().load([Source(ADD, ("absent",))])


def test_a_missing_compiler_is_said(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(DependencyError, match="CXX=no-such-compiler is not there"):
        Emulator().load([Source(ADD, ("k",))])


def test_a_directory_that_cannot_be_written_is_said(
    tmp_path: Path, fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SYMOPT_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(hostcompiler.CompilationError, match="set SYMOPT_CACHE_DIR"):
        Emulator().load([Source(ADD, ("k",))])
