"""The examples run and reach what they promise; the benchmarks run at small size."""

import importlib.util
import runpy
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

import symopt as so

ROOT = Path(__file__).parents[1]


def test_digits(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    main = runpy.run_path(str(ROOT / "examples" / "digits.py"))["main"]
    assert main() >= 0.965
    assert "test accuracy" in capsys.readouterr().out


def test_my_rule(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / "my_rule.py"))["main"]()
    assert "the others are untouched" in capsys.readouterr().out


@pytest.mark.slow
def test_phase_retrieval(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    right, wrong = runpy.run_path(str(ROOT / "examples" / "phase_retrieval.py"))["main"]()
    assert right < 1e-6 and wrong > 0.5
    assert "{'m': 'complex128', 'v': 'float64'}" in capsys.readouterr().out


@pytest.mark.slow
def test_federated_server(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    found = runpy.run_path(str(ROOT / "examples" / "federated_server.py"))["main"]()
    assert min(found.values()) > 0.8 and max(found, key=lambda name: found[name]) != "FedAvg"
    assert "the same bits" in capsys.readouterr().out


def run_recommender(name: str, monkeypatch: pytest.MonkeyPatch, *given: str) -> dict[str, float]:
    """`main` of one of the examples on MovieLens, which import each other."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    found: dict[str, float] = runpy.run_path(str(ROOT / "examples" / f"{name}.py"))["main"]([*given])
    return found


@pytest.fixture
def only_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """No copy of MovieLens is installed."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "recbole" else find(name, *a)
    )


@pytest.mark.slow
@pytest.mark.usefixtures("only_made_up")
@pytest.mark.parametrize("threshold", ["0", "20"])
def test_recommender(
    threshold: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    given = ["--threshold", threshold]
    if util.find_spec("matplotlib"):
        given += ["--plot", str(tmp_path / "rmse.svg")]
    found = run_recommender("recommender", monkeypatch, *given)
    assert 1.12 < found["the mean"] < 1.14 and 0.95 < found["biases"] < 0.96
    assert found["factorisation"] < 0.86
    said = capsys.readouterr().out
    assert "made up by a generator" in said
    assert ("users: 943 rows born" in said and "items: 1,682 rows born" in said) == (threshold == "0")
    if "--plot" in given:
        assert "validation rmse" in (tmp_path / "rmse.svg").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("only_made_up")
@pytest.mark.parametrize("engine", ["inprocess", "ray"])
def test_recommender_at_shards(
    engine: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the bits of one without shards, which `--check` sees to; on Ray a shard is killed in the second epoch."""
    given = ["--shards", "4", "--transport", "inprocess", "--threshold", "5"]
    if engine == "ray":
        pytest.importorskip("ray", reason="Ray has no wheel for this Python")
        given = ["--shards", "2", "--kill-shard-at", "200"]
    found = run_recommender("recommender", monkeypatch, *given, "--epochs", "2", "--check")
    assert 0.85 < found["factorisation"] < 0.95
    said = capsys.readouterr().out
    assert said.count("the bits of the run without shards") == 2 and "weights, 0/history, 1/history" in said
    assert f"{given[1]} shards on {'OnRay' if engine == 'ray' else 'InProcess'}" in said
    assert ("1 recovery" in said and "killing process" in said) == (engine == "ray")


def test_other_bits_are_seen_by_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """-0.0 for 0.0, and a row that was updated once more."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    check = runpy.run_path(str(ROOT / "examples" / "sharded.py"))["check_bits"]
    one, other = (so.embedding.Table(so.embedding.Segment(1, "sgd", learning_rate=1.0)) for _ in range(2))
    one.assign([1, 2], [[0.0], [1.0]])
    other.assign([1, 2], [[-0.0], [1.0]])
    with pytest.raises(SystemExit, match="not the bits of the run without shards: weights"):
        check(one, other)
    other.assign([1], [[0.0]])
    check(one, other)
    other.apply_gradients([2], [[0.0]])
    with pytest.raises(SystemExit, match="updates"):
        check(one, other)


@pytest.mark.parametrize(
    "given",
    [("--check",), ("--shards", "2", "--transport", "inprocess", "--kill-shard-at", "9")],
    ids="-".join,
)
def test_what_needs_shards_is_told_before_training(
    given: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run_recommender("recommender", monkeypatch, *given)
    said = capsys.readouterr()
    assert said.out == "" and "need" in said.err


@pytest.mark.parametrize("given", [("--epochs", "0"), ("--plot", "rmse.gif2")], ids="-".join)
def test_wrong_arguments_are_told_before_training(
    given: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run_recommender("recommender", monkeypatch, *given)
    said = capsys.readouterr()
    assert said.out == "" and f"not '{given[1]}'" in said.err


@pytest.mark.slow
@pytest.mark.usefixtures("only_made_up")
def test_clicks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_recommender("clicks", monkeypatch, "--epochs", "8")
    assert 0.68 < found["items"] < 0.71 and found["machine"] > 0.80
    assert "exactly 0" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(not util.find_spec("recbole"), reason="MovieLens-100k is read from an installed RecBole")
def test_recommenders_on_movielens(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_recommender("recommender", monkeypatch)["factorisation"] <= 0.91
    assert run_recommender("clicks", monkeypatch)["machine"] >= 0.78


def test_movielens_is_read_in_both_formats(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "grouplens", tmp_path / "recbole"
    ours.mkdir()
    theirs.mkdir()
    (ours / "u.data").write_text("196\t242\t3\t881250949\n186\t302\t4\t891717742\n")
    (ours / "u.user").write_text("186|39|F|executive|00000\n196|49|M|writer|55105\n")
    (ours / "u.item").write_text(
        "242|Kolya (1996)|24-Jan-1997||url|" + "|".join(["0"] * 5 + ["1"] + ["0"] * 13) + "\n"
    )
    (theirs / "ml-100k.inter").write_text(
        "user_id:token\titem_id:token\trating:float\n196\t242\t3\n186\t302\t4\n"
    )
    (theirs / "ml-100k.user").write_text("user_id\tage\tgender\toccupation\tzip\n196\t49\tM\twriter\t55105\n")
    (theirs / "ml-100k.item").write_text("item_id\ttitle\tyear\tclass\n242\tKolya\t1996\tComedy Drama\n")
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    load = runpy.run_path(str(ROOT / "examples" / "movielens.py"))["load"]
    for folder in (ours, theirs, ours / "u.data"):
        data = load(str(folder))
        assert data.users.tolist() == [196, 186] and data.items.tolist() == [242, 302]
        assert data.ratings.tolist() == [3, 4] and not data.is_made_up and "no redistribution" in data.source
        assert data.user_features[196] == ["age=45", "sex=M", "occupation=writer"]
    assert load(str(theirs)).item_features[242] == ["year=1996", "genre=Comedy", "genre=Drama"]
    assert load(str(ours)).item_features[242] == ["year=1997", "genre=5"]
    (tmp_path / "other.csv").write_text("1,2,3\n")
    for wrong in (tmp_path, tmp_path / "none", tmp_path / "other.csv"):
        with pytest.raises(SystemExit, match=r"--data|lines must be"):
            load(str(wrong))


@pytest.mark.slow
@pytest.mark.usefixtures("library_ops")  # it has an op of its own
def test_word_vectors(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("gensim")
    main = runpy.run_path(str(ROOT / "examples" / "word_vectors.py"))["main"]
    assert main(["--epochs", "2"]) >= 0.45
    said = capsys.readouterr().out
    assert "5,118 words  loss" in said and "center   5,118 rows" in said


@pytest.mark.slow
def test_benchmarks_run() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "run.py"), "--quick"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    jobs = (
        "import",
        "bind + first step",
        "forward()",
        "clip + adam + average",
        "clip + adamw",
        "lamb",
        "mp_adam",
    )
    for job in (*jobs, "lazy adam", "group adagrad", "lazy group adagrad"):
        assert job in done.stdout
