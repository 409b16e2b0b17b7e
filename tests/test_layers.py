"""A module of the engine imports only from layers to its left; ops/ imports the language and its siblings."""

import ast
from collections.abc import Iterator
from pathlib import Path

import symopt  # noqa: F401  registers the ops
from symopt.opdef import OPS

ROOT = Path(__file__).parents[1]
LAYERS = """
errors escaping files decays interrupts lr_scheduler splitmix | dtypes config context | expr | prims grids | canonical |
routines | hostmath build | attrs pairs |
tensor | lang | matrices | signatures | opdef | forms | trace |
facts | shapes | shaperules complexrules | dtyperules | infer | names |
listing operators compose looking | symbol | jsonread | serial | sym | passes | codegen | arrays overlap |
places cupyarrays emulatedarrays | finite segments | sparse slices | bound | binding rebuild | together | replacing |
backends | idmap | nonfinite report step planned | records | namedarrays | executor | mxnetfiles |
nd model | show | rules | state | given | checkpoint | training | embedding | optimizer keras torch | keras3 | convert |
view | distributed | scale | cost | values | lint | cli | __main__ |
_load __init__
"""
RANK = {name: rank for rank, group in enumerate(LAYERS.split("|")) for name in group.split()}
# Methods of Symbol and Executor; imported when called. `looking` is nothing but such methods.
DOORS = {("symbol", "executor"), ("symbol", "serial"), ("opdef", "forms")}
SEEN = "files planned nonfinite step backends report show view cost values lint executor"
DOORS |= {("looking", name) for name in SEEN.split()}


def imports(path: Path, package: tuple[str, ...]) -> Iterator[str]:
    """The modules that the file at `path`, which lies in `package`, imports: absolute dotted names."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (*package[: len(package) - node.level + 1], node.module) if node.level else (node.module,)
            parent = ".".join(filter(None, base))
            yield from ([f"{parent}.{a.name}" for a in node.names] if parent == "symopt" else [parent])


def test_the_engine_imports_only_to_the_left() -> None:
    wrong = []
    for path in sorted((ROOT / "symopt").rglob("*.py")):
        parts = path.relative_to(ROOT / "symopt").with_suffix("").parts
        assert parts[0] in RANK, f"symopt/{parts[0]} is in no layer: give it a place in LAYERS"
        for name in imports(path, ("symopt", *parts[:-1])):
            target = name.split(".")[1] if name.startswith("symopt.") else parts[0]
            if RANK.get(target, len(RANK)) > RANK[parts[0]] and (parts[0], target) not in DOORS:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_ops_import_only_the_language() -> None:
    for path in sorted((ROOT / "ops").glob("*.py")):
        for name in imports(path, ("symopt", "ops")):
            if name.startswith("symopt"):
                assert name in ("symopt.lang", "symopt.matrices", "symopt.opdef") or name.startswith(
                    "symopt.ops"
                ), f"{path}: {name}"


def test_the_engine_names_no_update_op() -> None:
    """What an update op needs of the engine is said in its formula, in the language."""
    for path in sorted((ROOT / "symopt").rglob("*.py")):
        texts = {n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant)}
        named = texts & {name for name, op in OPS.items() if op.is_update}
        assert not named, f"{path} names {named}"
