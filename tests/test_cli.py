"""The command `symopt`: what it prints, what it complains of, how it ends."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cli_files import HOSTILE, write_all

from symopt.cli.commands import COMMANDS, command_parser, load
from symopt.cli.main import main

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden"
PRINTED = {
    "help": "--help",
    **{f"help_{name}": f"{name} --help" for name in COMMANDS},
    "ops": "ops",
    "ops_one": "ops adam_update",
    "ops_set": "ops adam_update --simplified --set wd=0.01",
    "ops_latex": "ops sgd_mom_update --latex --simplified",
    "ops_json": "ops sgd_update --json",
    "show": "show clipped.json",
    "show_mxnet": "show mxnet1.json",
    "show_table": "show clipped.json --table --shape w*=8,4 --dtype w*=float16 --dtype g*=float16",
    "show_debug": "show clipped.json --debug",
    "show_hostile": "show hostile.json --debug",
    "show_maths": "show clipped.json --maths",
    "show_latex": "show rows.json --latex",
    "cost": "cost clipped.json --shape w*=256,64 --dtype w*=float16 --dtype g*=float16",
    "cost_rows": "cost rows.json --shape table=1000,64 --stype grad=row_sparse --rows grad=20",
    "cost_json": "cost adam.json --shape w=8 --json",
    "lint": "lint adam.json --dtype v=float16",
    "lint_json": "lint adam.json --dtype v=float16 --json",
    "lint_none": "lint adam.json --dtype v=float16 --ignore SO3",
    "diff_same": "diff adam.json adam.json",
    "diff": "diff adam.json adam2.json",
    "diff_more": "diff adam.json rows.json",
    "diff_ops": "diff adam_update keras_adam_update",
    "diff_json": "diff adam.json adam2.json --json",
    "plan": "plan --rows 1e12 --dim 64 --rule group_adagrad --workers 64 --sender worker --wire bfloat16",
    "plan_short": "plan --rows 1e9 --dim 64 --rule adam --hosts 1 --batch 100k --zipf 1.05 --growing",
    "plan_json": "plan --rows 5e9 --segment 1:ftrl --segment 15:sgd --shards 6 --shards-per-host 4 --jitter 0 --json",
}  # fmt: skip
STATUS = {"diff": 1, "diff_more": 1, "diff_ops": 1, "diff_json": 1, "lint": 1, "lint_json": 1}


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_all(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")  # where argparse breaks lines
    monkeypatch.setenv("SYMOPT_CACHE_DIR", str(tmp_path / "cache"))  # where no calibration is


@pytest.mark.usefixtures("library_ops")
@pytest.mark.parametrize("name", PRINTED)
def test_printed_text(name: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(PRINTED[name].split()) == STATUS.get(name, 0)
    found = capsys.readouterr()
    assert found.err == ""
    text = re.sub(r"(\.py):\d+", r"\1:N", found.out)  # lines of formulas move
    text = re.sub(r"(-\w) \S+, (--\w+ )", r"\1, \2", text)  # as later versions of argparse write it
    path = GOLDEN / f"cli_{name}.txt"
    if request.config.getoption("--update-golden"):
        path.write_text(text)
    assert text == path.read_text()


def test_every_golden_text_is_of_a_case() -> None:
    assert {p.stem for p in GOLDEN.glob("cli_*.txt")} == {f"cli_{name}" for name in PRINTED}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_in_help_are_command_lines(name: str) -> None:
    for line in load(name).EXAMPLE.splitlines():
        program, command, *rest = line.split()
        assert (program, command) == ("symopt", name)
        command_parser(name).parse_args(rest)


def test_json_is_valid_and_all_there_is_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ("ops --json", "ops ftrl_update --json", "diff adam_update sgd_update --json", "lint --rules --json",
             "cost rows.json --shape table=9,4 --json", "lint adam.json --dtype v=float16 --json",
             "plan --rows 1e9 --dim 8 --rule sgd --json")  # fmt: skip
    for line in lines:
        assert main(line.split()) in (0, 1)
        found = capsys.readouterr()
        assert isinstance(json.loads(found.out, parse_constant=pytest.fail), (dict, list)) and found.err == ""


@pytest.mark.parametrize("form", ["html", "dot", "svg", "png", "pdf"])
def test_drawings(form: str, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    begins = {
        "html": b"<!doctype html>",
        "dot": b"digraph",
        "svg": b"<?xml",
        "png": b"\x89PNG",
        "pdf": b"%PDF",
    }[form]
    if form not in ("html", "dot") and shutil.which("dot") is None:
        pytest.skip("needs graphviz")
    for level in ("symbol", "program"):
        line = ["draw", "adam.json", "-o", f"out.{form}", "--level", level, "--shape", "w=3,4"]
        assert main(line) == 0
        content = Path(f"out.{form}").read_bytes()
        assert content.startswith(begins)
        assert main([*line[:3], "-", "--format", form, *line[4:]]) == 0
        if form != "pdf":  # which has a date in it
            assert capsysbinary.readouterr().out == content


# ---- what is wrong


WRONG = {
    "": (2, "usage"),
    "rnu": (2, "no command is called 'rnu'; did you mean run?"),
    "ops --latxe": (2, "unrecognized arguments: --latxe"),
    "ops adam_updat": (1, "no op is called 'adam_updat'; did you mean"),
    "ops adam_update --set beta=1": (1, "no attribute is called 'beta'; did you mean beta2, beta1?"),
    "ops adam_update --set beta1": (2, "'beta1' is not of the form NAME=VALUE"),
    "ops adam_update --set wd=much": (1, "wd must be a number, got 'much'"),
    "ops adam_update --set wd=1 --set wd=2": (2, "--set is given twice for 'wd'"),
    "ops --latex": (2, "are for one op"),
    "show missing.json": (1, "missing.json: No such file or directory"),
    "show .": (1, ".: Is a directory"),
    "show adam.npz": (1, "adam.npz is no text"),
    "show empty.json": (1, "empty.json: this is no symbol in MXNet's JSON format"),
    "show cut.json": (1, "cut.json: this is no symbol in MXNet's JSON format"),
    "show adam.json --shape w=3 --tree": (2, "--shape"),
    "show adam.json --shape w=3,x": (2, "'3,x' is no shape"),
    "show adam.json --shape w=-1": (2, "'-1' is no shape"),
    "show adam.json --shape weight=3": (1, "--shape: the graph has no variable 'weight'"),
    "show adam.json --shape x*=3": (1, "--shape: the graph has no variable 'x*'"),
    "show adam.json --shape w=3 --shape g=4": (1, "adam_update 'fc1'"),
    "show adam.json --dtype w=float8": (1, "dtype float8 is not supported"),
    "show adam.json --tree --debug": (2, "not allowed with"),
    "diff adam.json": (2, "the following arguments are required"),
    "diff adam.json missing.json": (2, "missing.json: No such file or directory"),
    "diff adam.json adam_update": (2, "compare two graphs or two ops"),
    "diff adam.json adam2.json --steps 3": (2, "are for ops"),
    "diff adam_update sgd": (2, "no op is called 'sgd'"),
    "cost adam.json": (1, "the shapes of w, g, m, v do not follow from those given"),
    "cost adam.json --shape w=3 --device tpu": (2, "device type 'tpu'"),
    "calibrate --threads 0": (2, "'0' must be an integer above 0"),
    "calibrate --device gpu(77)": (1, "gpu(77)"),
    "lint": (2, "FILE.json is missing"),
    "lint missing.json": (2, "missing.json: No such file"),
    "lint adam.json --select SO9": (2, "no rule has the code 'SO9'"),
    "draw adam.json": (2, "required: -o/--output"),
    "draw adam.json -o x.jpg": (2, "'x.jpg' must end in .html, .svg, .png, .pdf, .dot"),
    "draw adam.json -o -": (2, "'-' must end in"),
    "draw adam.json -o x.svg --level program": (1, "the shapes of w, g, m, v do not follow"),
    "draw adam.json -o nowhere/x.html": (1, "nowhere/x.html: No such file or directory"),
    "plan": (2, "the following arguments are required: --rows"),
    "plan --rows 1e12": (2, "give --dim and --rule, or --segment"),
    "plan --rows 1e12 --dim 64": (2, "--rule is missing"),
    "plan --rows 9 --dim 4 --rule sgd --segment 1:sgd": (2, "give --dim and --rule, or --segment"),
    "plan --rows 1e12 --dim 64 --rule adamm": (1, "no update op is called 'adamm'; did you mean"),
    "plan --rows 1e12 --dim 64 --rule adamw": (1, "adamw_update needs eta"),
    "plan --rows 1e12 --dim 64 --rule adam --set eta=1": (2, "--set: no rule here has an attribute 'eta'"),
    "plan --rows 1.5 --dim 4 --rule sgd": (2, "'1.5' is no whole number above 0"),
    "plan --rows 1e30 --dim 4 --rule sgd": (2, "'1e30' is too large: below 2**62"),
    "plan --rows 9 --segment 4 --host-memory 1GB": (2, "'4' is not of the form 64:NAME"),
    "plan --rows 9 --dim 4 --rule sgd --host-memory 7GX": (2, "'7GX' is no size: write bytes, or 768GiB"),
    "plan --rows 9 --dim 4 --rule sgd --network 25GB": (2, "'25GB' is no speed: write 25GB/s, or"),
    "plan --rows 9 --dim 4 --rule sgd --network 25": (2, "'25' is no speed: write 25GB/s, or"),
    "plan --rows 9 --dim 4 --rule sgd --step-time 1d": (2, "'1d' is no time: write seconds, or 100ms"),
    "plan --rows 9 --dim 4 --rule sgd --disk 0GB/s": (1, "hosts: disk = 0.0 must be a finite number above 0"),
    "plan --rows 9 --dim 4 --rule sgd --unique 10": (1, "a job: unique = 10 of 9 rows"),
    "plan --rows 9 --dim 4 --rule sgd --zipf 1.1": (2, "--zipf needs --batch"),
    "plan --rows 9 --dim 4 --rule sgd --hosts 1 --shards 2": (2, "not allowed with"),
    "plan --rows 1e12 --dim 64 --rule adam --step-time 1ms": (1, "no number of hosts makes steps of 0.001 s"),
    "bench speed": (2, "no case is called 'speed'"),
    "diff - -": (2, "only one graph can be standard input"),
    "diff adam_update sqrt": (2, "sqrt is no update op"),
}  # fmt: skip


@pytest.mark.parametrize("line", WRONG)
def test_what_is_wrong_is_said_in_one_message(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty.json").write_text("")
    Path("cut.json").write_text(Path("adam.json").read_text()[:200])
    status, message = WRONG[line]
    assert main(line.split()) == status
    found = capsys.readouterr()
    assert found.out == "" and message in found.err and "Traceback" not in found.err
    if line:
        assert found.err.count("symopt: error: ") == 1


def test_traceback_shows_where_an_error_arose() -> None:
    with pytest.raises(FileNotFoundError):
        main(["show", "missing.json", "--traceback"])
    with pytest.raises(FileNotFoundError):
        main(["--traceback", "show", "missing.json"])


def test_ctrl_c(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("symopt.cli.show.run", interrupted)
    assert main(["show", "adam.json"]) == 130
    assert capsys.readouterr() == ("", "")


# ---- names from files


CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]")


@pytest.mark.parametrize("line", [
    "show hostile.json", "show hostile.json --table", "show hostile.json --debug", "diff hostile.json adam.json",
    "diff hostile.json hostile.json", "diff adam.json hostile.json --json", "show hostile.json --color always",
    "show hostile.json --shape g=3 --shape h=3", "show hostile.json --maths", "show hostile.json --latex",
    "lint hostile.json --shape g=3 --select SO", "cost hostile.json --shape g=3", "cost hostile.json",
    "draw hostile.json -o - --format dot", "run hostile.json adam.npz -o out.npz",
])  # fmt: skip
def test_names_from_files_do_not_steer_the_terminal(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(line.split())
    found = capsys.readouterr()
    text = found.out + found.err
    assert text
    rich = re.compile(r"\x1b\[[0-9;]*m")  # colours, which only --color asks for
    assert not CONTROL.search(rich.sub("", text) if "--color" in line else text)
    assert not re.search(r"^\[bold\]", text, re.M)  # the name did not end a line


def test_names_in_errors_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", f"{HOSTILE}.json"]) == 1
    assert r"\x1b[31m\x07" in capsys.readouterr().err


# ---- as a program


def run(*line: str, env: dict[str, str] | None = None, **options: Any) -> "subprocess.CompletedProcess[str]":
    """`python -m symopt` in a process of its own."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 120, **options}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    return subprocess.run([sys.executable, "-m", "symopt", *line], text=True, env=environment, **options)


def test_version_and_standard_input() -> None:
    assert re.fullmatch(r"symopt \d+\.\d+\.\d+\n", run("--version").stdout)
    found = run("show", "-", input=Path("adam.json").read_text())
    assert found.returncode == 0 and "fc1 = adam_update" in found.stdout


def test_help_loads_no_engine() -> None:
    script = (
        "import sys; from symopt.cli.main import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(found.stderr.split())
    assert "symopt.cli.commands" in loaded
    engine = ("infer", "passes", "executor", "serial", "show", "view", "cost")
    assert not loaded & {*(f"symopt.{name}" for name in engine), "llvmlite", "rich"}


def test_a_broken_pipe_is_quiet() -> None:
    command = f"{sys.executable} -m symopt ops adam_update | true; echo ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=environment, timeout=120
    )
    assert found.stderr == ""
    assert found.stdout.split()[-1] in ("0", "141")  # a short text may be written before the reader ends


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_full_disk_is_an_error() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "symopt", "ops"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        found = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment, timeout=120
        )
    assert found.returncode == 1
    assert found.stderr == "symopt: error: standard output: No space left on device\n"


def test_an_interrupted_run_leaves_nothing() -> None:
    line = ["run", "adam.json", "adam.npz", "-o", "out.npz", "--steps", str(10**15)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "symopt", *line]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        while process.poll() is None and not list(Path().glob(".out.npz.*")):  # what it writes to
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, said) == (130, b"")
    assert not list(Path().glob("*out.npz*")) and not list(Path().glob(".out.npz*"))


def test_text_that_the_terminal_cannot_show() -> None:
    found = run("ops", "sgd_update", "--simplified", env={"PYTHONIOENCODING": "ascii"})
    assert found.returncode == 0 and found.stdout == "weight' = weight - lr \\xb7 grad\n"
