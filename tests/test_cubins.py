"""The cache of compiled CUDA code: compiled once, whatever happens to the files."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from symopt import config
from symopt.backends.cuda import cubins as module
from symopt.backends.cuda.cubins import CubinCache
from symopt.backends.cuda.nvrtc import Compiled, compile_cuda
from symopt.errors import CompileError

TEXTS = [f'extern "C" __global__ void k{k}(float* p) {{ *p = *p + {k}.0f; }}' for k in range(4)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the cache's files lie."""
    monkeypatch.setenv("SYMOPT_CACHE_DIR", str(tmp_path))
    return tmp_path / "cuda"


def counts(cache: CubinCache) -> tuple[int, int]:
    return cache.compiled, cache.read


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_the_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert config.cache_dir() == tmp_path
    monkeypatch.delenv("SYMOPT_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert config.cache_dir() == Path("/somewhere/symopt")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    assert config.cache_dir() == Path("/home/ada/.cache/symopt")


def test_compiled_once_then_read_by_the_next_process(nvrtc: None) -> None:
    first, second = CubinCache(), CubinCache()
    made = first.get(TEXTS[1], "sm_90")
    assert made == compile_cuda(TEXTS[1], "sm_90")
    assert first.get(TEXTS[1], "sm_90") is made
    assert counts(first) == (1, 0)
    assert second.get(TEXTS[1], "sm_90") == made
    assert counts(second) == (0, 1)


def test_all_that_matters_is_in_the_key(nvrtc: None, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = CubinCache()
    cache.get(TEXTS[0], "sm_90")
    cache.get(TEXTS[1], "sm_90")
    cache.get(TEXTS[0], "sm_80")
    cache.get(TEXTS[0], "sm_90", ptx=True)
    monkeypatch.setattr(module, "nvrtc_version", lambda: (99, 0))
    cache.get(TEXTS[0], "sm_90")
    monkeypatch.setattr(module, "OPTIONS", ())
    cache.get(TEXTS[0], "sm_90")
    assert counts(cache) == (6, 0)
    assert len(list(folder.iterdir())) == 6


@pytest.mark.parametrize("damage", ["empty", "short", "no newline", "a bit", "other resources"])
def test_a_damaged_file_is_replaced(nvrtc: None, folder: Path, damage: str) -> None:
    made = CubinCache().get(TEXTS[0], "sm_90")
    whole = only_file(folder).read_bytes()
    damaged = {
        "empty": b"",
        "short": whole[:-1],
        "no newline": whole.replace(b"\n", b""),
        "a bit": whole[:200] + bytes([whole[200] ^ 1]) + whole[201:],
        "other resources": whole.replace(b'{"k0": [', b'{"k0": [1', 1),
    }[damage]
    assert damaged != whole
    only_file(folder).write_bytes(damaged)
    cache = CubinCache()
    assert cache.get(TEXTS[0], "sm_90") == made
    assert counts(cache) == (1, 0)
    assert only_file(folder).read_bytes() == whole


def test_without_a_directory_memory_serves(
    nvrtc: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SYMOPT_CACHE_DIR", str(tmp_path / "file"))
    cache = CubinCache()
    assert cache.get(TEXTS[0], "sm_90") is cache.get(TEXTS[0], "sm_90")
    assert counts(cache) == (1, 0)


def test_a_file_that_cannot_be_finished_leaves_nothing(
    nvrtc: None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: str, target: str) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("os.replace", full)
    CubinCache().get(TEXTS[0], "sm_90")
    assert list(folder.iterdir()) == []


def test_threads_never_compile_one_text_twice(nvrtc: None, monkeypatch: pytest.MonkeyPatch) -> None:
    together, began = threading.Barrier(6), []

    def compile_slowly(text: str, architecture: str, ptx: bool) -> Compiled:
        began.append(text)
        return compile_cuda(text, architecture, ptx)

    monkeypatch.setattr(module, "compile_cuda", compile_slowly)
    cache = CubinCache()

    def get(k: int) -> Compiled:
        together.wait()
        return cache.get(TEXTS[k % 2], "sm_90")

    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(get, range(6)))
    assert sorted(began) == TEXTS[:2]
    assert all(one is made[k % 2] for k, one in enumerate(made))


def test_all_at_once_in_the_order_given(nvrtc: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "_num_threads", 4)
    cache = CubinCache()
    made = cache.compile_all([*TEXTS, TEXTS[0]], "sm_90")
    assert [list(one.resources) for one in made] == [["k0"], ["k1"], ["k2"], ["k3"], ["k0"]]
    assert counts(cache) == (4, 0)


def test_a_refusal_is_not_kept(nvrtc: None) -> None:
    cache = CubinCache()
    for _ in range(2):
        with pytest.raises(CompileError, match="identifier"):
            cache.compile_all(["__global__ void k() { x; }", TEXTS[0]], "sm_90")
    assert cache.compiled == 1


def test_two_caches_share_a_directory_at_the_same_time(nvrtc: None, folder: Path) -> None:
    caches = [CubinCache() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda cache: cache.compile_all(TEXTS, "sm_90"), caches))
    assert all(one == made[0] for one in made)
    assert len(list(folder.iterdir())) == len(TEXTS)
