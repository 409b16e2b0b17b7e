"""`symopt run`: steps on the arrays of a file."""

import io
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from cli_files import adam, clipped, muon, rows, write_all

import symopt as so
from symopt import sym
from symopt.cli.main import main
from symopt.sparse import RowSparseArray

Arrays = dict[str, Any]


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_all(tmp_path)
    monkeypatch.chdir(tmp_path)


def loaded(path: str) -> Arrays:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def expected(symbol: so.Symbol, given: Arrays, steps: int) -> Arrays:
    """Every variable and output after some steps of a bound symbol."""
    given = {name: x.copy() if hasattr(x, "copy") else x for name, x in given.items()}
    aux = set(symbol.list_auxiliary_states())
    executor = symbol.bind(
        args={n: x for n, x in given.items() if n not in aux},
        aux_states={n: x for n, x in given.items() if n in aux},
    )
    for _ in range(steps):
        executor.forward()
    return {**executor.arg_dict, **executor.aux_dict, **executor.output_dict}


def flat(values: Arrays) -> Arrays:
    found: Arrays = {}
    for name, value in values.items():
        if isinstance(value, RowSparseArray):
            parts = {"data": value.data, "indices": value.indices, "shape": np.array(value.shape)}
            found.update({f"{name}.{part}": x for part, x in parts.items()})
        else:
            found[name] = np.asarray(value)
    return found


def check(symbol: so.Symbol, given: Arrays, steps: int = 1, more: tuple[str, ...] = ()) -> None:
    """`run` does what binding and stepping in Python does, bit for bit."""
    symbol.save("graph.json")
    np.savez("given.npz", **flat(given))
    assert main(["run", "graph.json", "given.npz", "-o", "after.npz", "--steps", str(steps), *more]) == 0
    found, wanted = loaded("after.npz"), flat(expected(symbol, given, steps))
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert found[name].tobytes() == array.tobytes() and found[name].shape == array.shape, name
    assert [p.name for p in Path().iterdir() if p.name.startswith(".")] == []


def test_dense_steps() -> None:
    rng = np.random.default_rng(0)
    check(adam(), {name: rng.random((3, 4), np.float32) for name in "wgmv"}, steps=5)


def test_rows_of_a_table_and_repeated_indices() -> None:
    data = np.ones((3, 2), np.float32)
    grad = RowSparseArray(data, np.array([4, 0, 4]), (5, 2))
    check(
        rows(),
        {"table": np.ones((5, 2), np.float32), "grad": grad, "history": np.zeros((5, 1), np.float32)},
        3,
    )


def test_norms_and_half_precision() -> None:
    rng = np.random.default_rng(0)
    made: Arrays = {}
    for k in range(2):
        made |= {f"{name}{k}": rng.random((8, 4)).astype(np.float16) for name in "wg"}
        made |= {f"{name}{k}": rng.random((8, 4), np.float32) for name in ("m", "v", "master")}
    check(clipped(), made, 2)


def test_functions_of_matrices() -> None:
    rng = np.random.default_rng(0)
    check(muon(), {name: rng.random((6, 4), np.float32) for name in "wgm"})


def test_complex_numbers() -> None:
    rng = np.random.default_rng(0)
    made: Arrays = {n: (rng.random(5) + 1j * rng.random(5)).astype(np.complex64) for n in "wgm"}
    check(adam(), made | {"v": rng.random(5, np.float32)})


def test_bfloat16_is_two_bytes() -> None:
    made = {name: np.ones(4, ml_dtypes.bfloat16) for name in "wgmv"}
    check(adam(), made)
    assert loaded("after.npz")["w"].dtype == np.dtype("V2")


def test_numbers_and_a_counter() -> None:
    w, t = sym.var("w"), sym.var("t")
    counted = sym.Group(
        [sym.sgd_update(w, sym.var("g"), lr=0.5 / t, out=w), sym._plus_scalar(t, scalar=1.0, out=t)]
    )
    made: Arrays = {"w": np.ones(3, np.float32), "g": np.ones(3, np.float32), "t": np.float64(1)}
    check(counted, made, 3)
    np.savez("given.npz", w=made["w"], g=made["g"])
    assert main(["run", "graph.json", "given.npz", "-o", "set.npz", "--set", "t=1", "--steps", "3"]) == 0
    assert loaded("set.npz")["w"].tobytes() == loaded("after.npz")["w"].tobytes()
    np.savez("given.npz", w=made["w"], g=made["g"], t=np.int64(1))  # an integer is a number too
    assert main(["run", "graph.json", "given.npz", "-o", "set.npz", "--steps", "3"]) == 0
    assert loaded("set.npz")["w"].tobytes() == loaded("after.npz")["w"].tobytes()


@pytest.mark.parametrize("engine", ["reference", "native"])
def test_engines(engine: str) -> None:
    check(adam(), {name: np.ones(4, np.float32) for name in "wgmv"}, 2, ("--engine", engine))


def test_arrays_of_other_layouts() -> None:
    """In Fortran's order, of the other byte order, compressed."""
    wanted = {name: np.arange(6, dtype=np.float32).reshape(2, 3) for name in "wgmv"}
    given: Any = {
        name: np.asfortranarray(x) if name in "wg" else x.astype(">f4") for name, x in wanted.items()
    }
    np.savez_compressed("given.npz", **given)
    assert main(["run", "adam.json", "given.npz", "-o", "after.npz"]) == 0
    found, right = loaded("after.npz"), expected(adam(), wanted, 1)
    assert all(found[name].tobytes() == right[name].tobytes() for name in right)


def test_dtypes_from_the_command_line() -> None:
    given: Any = {name: np.ones(4) for name in "wgmv"}
    np.savez("given.npz", **given)
    assert main(["run", "adam.json", "given.npz", "-o", "after.npz", "--dtype", "*=float32"]) == 0
    assert loaded("after.npz")["w"].dtype == np.float32
    bits = np.ones(4, ml_dtypes.bfloat16).view(np.uint16)
    given = dict.fromkeys("wgmv", bits)
    np.savez("given.npz", **given)
    assert main(["run", "adam.json", "given.npz", "-o", "after.npz", "--dtype", "*=bfloat16"]) == 0
    assert loaded("after.npz")["g"].view(np.uint16).tolist() == bits.tolist()


def test_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = io.BytesIO(Path("adam.npz").read_bytes()), io.BytesIO()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(source))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(target))
    assert main(["run", "adam.json", "-", "-o", "-"]) == 0
    assert np.load(io.BytesIO(target.getvalue()))["w"].shape == (4,)


# ---- what is refused

ONE = np.ones(4, np.float32)
GOOD = dict.fromkeys("wgmv", ONE)


class Evil:
    def __reduce__(self) -> Any:
        return print, ("executed",)


REFUSED: dict[str, tuple[Arrays, str]] = {
    "missing": (dict.fromkeys("wgm", ONE), "has no array for the variable 'v'"),
    "near": ({**dict.fromkeys("wgm", ONE), "v2": ONE}, "no array for the variable 'v'"),
    "surplus": (GOOD | {"momentum": ONE}, "has an array 'momentum', and the graph no such variable"),
    "shape": (GOOD | {"g": np.ones(5, np.float32)}, "adam_update 'fc1'"),
    "dtype": (GOOD | {"w": np.arange(4)}, "'w'"),
    "text": (GOOD | {"w": np.array(["a"] * 4)}, "'w'"),
    "pickle": (
        GOOD | {"w": np.array([Evil()], object)},
        "'w' cannot be read: Object arrays cannot be loaded",
    ),
    "sparse part": (
        {**dict.fromkeys("wmv", ONE), "g.data": ONE},
        "the row_sparse array 'g' has no 'g.indices'",
    ),
    "sparse shape": (
        {**dict.fromkeys("wmv", ONE), "g.data": ONE, "g.indices": np.arange(4), "g.shape": ONE},
        "g.shape must be a row of integers",
    ),
    "sparse index": (
        {**dict.fromkeys("wmv", ONE), "g.data": ONE, "g.indices": np.arange(4) + 1, "g.shape": np.array([4])},
        "4",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_arrays(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    given, message = REFUSED[name]
    np.savez("given.npz", **given)
    Path("after.npz").write_text("before")
    assert main(["run", "adam.json", "given.npz", "-o", "after.npz"]) == 1
    found = capsys.readouterr()
    assert message in found.err and found.err.startswith("symopt: error: ") and "executed" not in found.out
    assert Path("after.npz").read_text() == "before"


def archive(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, content in members.items():
            file.writestr(name.replace("_npy", ".npy"), content)
    return stream.getvalue()


HEADER = b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }"
FILES = {
    "empty": b"",
    "text": b"not an archive",
    "one array": b"\x93NUMPY",
    "pickle": pickle.dumps({"w": 1}),
    "no array": archive(readme=b"hello"),
    "broken array": archive(w_npy=b"\x93NUMPY\x01"),
    "cut array": archive(w_npy=(HEADER % b"4,").ljust(127) + b"\n" + b"\0" * 7),
    "huge array": archive(w_npy=(HEADER % b"1 << 60").ljust(127) + b"\n"),
    "huge shape": archive(w_npy=(HEADER % b"1000000000000000,").ljust(127) + b"\n"),
    "negative shape": archive(w_npy=(HEADER % b"-1,").ljust(127) + b"\n"),
    "cut archive": archive(w_npy=b"1" * 500)[:300],
}


@pytest.mark.parametrize("name", FILES)
def test_refused_files(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("given.npz").write_bytes(FILES[name])
    assert main(["run", "adam.json", "given.npz", "-o", "after.npz"]) == 1
    assert capsys.readouterr().err.count("symopt: error: ") == 1
    assert not Path("after.npz").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_of_one_name(capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile("adam.npz", "a") as file:
        file.writestr("w.npy", b"")
    assert main(["run", "adam.json", "adam.npz", "-o", "after.npz"]) == 1
    assert "two arrays called 'w'" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["nowhere/after.npz", "."])
def test_unwritable_results(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "adam.json", "adam.npz", "-o", target]) == 1
    assert f"symopt: error: {target}: " in capsys.readouterr().err


def test_what_is_no_regular_file_is_written_to_and_not_replaced() -> None:
    device = Path("device")
    device.symlink_to("/dev/null")
    assert main(["run", "adam.json", "adam.npz", "-o", "device"]) == 0
    assert device.is_symlink() and Path("/dev/null").is_char_device()


def test_a_link_stays_one_and_permissions_stay() -> None:
    Path("real.npz").write_text("")
    Path("real.npz").chmod(0o640)
    Path("link.npz").symlink_to("real.npz")
    assert main(["run", "adam.json", "adam.npz", "-o", "link.npz"]) == 0
    assert Path("link.npz").is_symlink() and "w" in loaded("real.npz")
    assert Path("real.npz").stat().st_mode & 0o777 == 0o640


def test_names_that_a_file_cannot_hold(capsys: pytest.CaptureFixture[str]) -> None:
    w, g = sym.var("w"), sym.var("u_output")
    sym.sgd_update(w, g, lr=0.1, name="u").save("graph.json")
    np.savez("given.npz", w=ONE, u_output=ONE)
    assert main(["run", "graph.json", "given.npz", "-o", "after.npz"]) == 1
    assert "two arrays of the graph are called 'u_output'" in capsys.readouterr().err
    for name in ("half\ud800", "nul\0"):
        sym.sgd_update(sym.var("w"), sym.var("g"), lr=0.1, name=name).save("graph.json")
        np.savez("given.npz", w=ONE, g=ONE)
        assert main(["run", "graph.json", "given.npz", "-o", "after.npz"]) == 1
        assert "cannot hold an array called" in capsys.readouterr().err
    sym.sgd_update(sym.var("file"), sym.var("a/../b"), lr=0.1, name="u").save("graph.json")  # these it can
    with zipfile.ZipFile("given.npz", "w") as file:
        for name in ("file", "a/../b"):
            stream = io.BytesIO()
            np.save(stream, ONE)
            file.writestr(f"{name}.npy", stream.getvalue())
    assert main(["run", "graph.json", "given.npz", "-o", "after.npz"]) == 0
    assert loaded("after.npz").keys() == {"file", "a/../b", "u_output"}


@pytest.mark.parametrize(
    "line", ["--steps 0", "--steps x", "--engine fast", "--set lr", "--set w=x", "--dtype w=int8"]
)
def test_usage(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "adam.json", "adam.npz", "-o", "after.npz", *line.split()]) == 2
    assert "symopt: error: " in capsys.readouterr().err
