"""What MXNet 1.9.1's KVStore('local') does with calls that are plain data: run with its Python, this file writes
golden/kvstore.json (`python tests/mxnet_kvstore.py`). test_kvstore_golden.py makes the same calls here.

An array is {"dense": values} or {"shape", "rows", "ids"}; an `out` is what it holds before. A call is [method,
arguments, what it wrote to its outs], or "refused" in place of that."""

import json
import warnings
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "golden" / "kvstore.json"

TWO: Any = {"dense": [[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]}
ONE: Any = {"dense": [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]}
OUT: Any = {"dense": [[9.0, 9.0, 9.0], [9.0, 9.0, 9.0]]}
TABLE: Any = {"dense": [[float(3 * i + j) for j in range(3)] for i in range(5)], "as": "row_sparse"}
ROWS_OUT: Any = {"shape": [5, 3], "rows": [], "ids": []}
TABLE_OUT: Any = {"dense": [[9.0] * 3] * 5}


def rows(ids: list[int], *values: float) -> dict[str, Any]:
    return {"shape": [5, 3], "rows": [[v, 2 * v, -v] for v in values], "ids": ids}


def pull(key: Any, out: Any = OUT, **more: Any) -> list[Any]:
    return ["pull", {"key": key, "out": out, **more}]


def pull_rows(ids: list[Any], out: Any = ROWS_OUT) -> list[Any]:
    return ["row_sparse_pull", {"key": "e", "out": out, "row_ids": ids}]


def optimizer(name: str, **options: Any) -> list[Any]:
    return ["set_optimizer", {"name": name, "options": options}]


STEPS: list[Any] = [
    ["push", {"key": "e", "value": rows([1, 3], 0.5, -2.0)}],
    ["push", {"key": "e", "value": [rows([0, 1], 1.5, 3.0), rows([1, 4], -1.0, 0.25)]}],
    ["push", {"key": "e", "value": rows([1], 1.0)}],
    pull_rows([0, 1, 2, 3, 4]),
]
DENSE_STEPS: list[Any] = [
    ["push", {"key": [3, 4], "value": [ONE, [ONE, TWO]]}],
    ["push", {"key": 4, "value": TWO}],
    ["push", {"key": 3, "value": [TWO, ONE, TWO]}],
    pull([3, 4], [OUT, OUT]),
]
BETAS: Any = {"beta1": 0.75, "beta2": 0.875}  # 1 - beta2 is exact: MXNet computes it in float32
BOTH: Any = ["init", {"key": [3, 4], "value": [TWO, ONE]}]

CASES: dict[str, Any] = {
    "init and pull": [["init", {"key": 3, "value": TWO}], pull(3), pull(3, [OUT, OUT, OUT])],
    "init twice": [["init", {"key": 3, "value": TWO}], ["init", {"key": 3, "value": ONE}], pull(3)],
    "keys of two kinds": [["init", {"key": 3, "value": TWO}], ["init", {"key": "a", "value": TWO}]],
    "keys of two kinds in a list": [["init", {"key": [3, "a"], "value": [TWO, ONE]}]],
    "lists of unlike lengths": [["init", {"key": [3, 4], "value": [TWO, ONE, ONE]}]],
    "push of a key without a value": [["push", {"key": 3, "value": TWO}]],
    "pull of a key without a value": [pull(3)],
    "push replaces": [BOTH, ["push", {"key": 3, "value": ONE}], pull(3)],
    "push of a list adds up": [BOTH, ["push", {"key": 3, "value": [ONE, TWO, TWO, ONE, ONE]}], pull(3)],
    "a key twice in a push": [BOTH, ["push", {"key": [3, 3, 4], "value": [ONE, [TWO, TWO], ONE]}], pull(3)],
    "pushpull": [BOTH, ["pushpull", {"key": 3, "value": [ONE, TWO], "out": OUT}], pull(3)],
    "pushpull into its value": [BOTH, ["pushpull", {"key": 3, "value": [ONE, TWO]}], pull(3)],
    "broadcast": [["broadcast", {"key": "b", "value": TWO, "out": [OUT, OUT]}], pull("b")],
    "broadcast twice": [
        ["broadcast", {"key": 1, "value": TWO, "out": OUT}],
        ["broadcast", {"key": 1, "value": ONE, "out": OUT}],
    ],
    "an updater": [BOTH, ["_set_updater", {"twice": True}], *DENSE_STEPS],
    "an updater of rows": [["init", {"key": "e", "value": TABLE}], ["_set_updater", {"twice": True}], *STEPS],
    "rows": [["init", {"key": "e", "value": TABLE}], pull_rows([3, 1, 3]), pull_rows([]), pull_rows([4, 0])],
    "rows into two": [["init", {"key": "e", "value": TABLE}], pull_rows([[3], [1, 0]], [ROWS_OUT, ROWS_OUT])],
    "the same rows into two": [["init", {"key": "e", "value": TABLE}], pull_rows([3], [ROWS_OUT, ROWS_OUT])],
    "rows to a whole array": [["init", {"key": "e", "value": TABLE}], pull("e", TABLE_OUT)],
    "rows left alone": [["init", {"key": "e", "value": TABLE}], pull("e", ROWS_OUT)],
    "all rows": [["init", {"key": "e", "value": TABLE}], pull("e", ROWS_OUT, ignore_sparse=False)],
    "rows of another shape": [
        ["init", {"key": "e", "value": TABLE}],
        pull_rows([1], {**ROWS_OUT, "shape": [6, 3]}),
    ],
    "push of rows replaces": [
        ["init", {"key": "e", "value": TABLE}],
        *STEPS,
        pull("e", ROWS_OUT, ignore_sparse=False),
    ],
    "rows of a dense key": [
        ["init", {"key": "e", "value": {"dense": TABLE["dense"]}}],
        *STEPS[:1],
        pull("e", TABLE_OUT),
    ],
    **{
        f"{name} {options}": [BOTH, optimizer(name, **options), *DENSE_STEPS]
        for name, options in (
            ("sgd", {"learning_rate": 0.5, "wd": 0.1}),
            ("sgd", {"learning_rate": 0.5, "momentum": 0.9, "rescale_grad": 0.5, "clip_gradient": 0.75}),
            ("nag", {"learning_rate": 0.5, "momentum": 0.9}),
            ("adam", {"learning_rate": 0.5, "wd": 0.1, **BETAS}),
            ("ftrl", {"learning_rate": 0.5, "wd": 0.1}),
        )
    },
    **{
        f"rows, {name} {options}": [
            ["init", {"key": "e", "value": TABLE}],
            optimizer(name, **options),
            *STEPS,
        ]
        for name, options in (
            ("sgd", {"learning_rate": 0.5, "wd": 0.1, "lazy_update": True}),
            ("sgd", {"learning_rate": 0.5, "momentum": 0.9, "wd": 0.1, "lazy_update": True}),
            ("adam", {"learning_rate": 0.5, "wd": 0.1, "lazy_update": True, **BETAS}),
            ("ftrl", {"learning_rate": 0.5, "wd": 0.1}),
        )
    },
}


def main() -> None:
    import mxnet as mx  # type: ignore[import-not-found, unused-ignore]

    def array(x: Any) -> Any:
        if isinstance(x, list):
            return [array(each) for each in x]
        if "dense" in x:
            return mx.nd.array(x["dense"]).tostype(x.get("as", "default"))
        if not x["ids"]:
            return mx.nd.sparse.zeros("row_sparse", tuple(x["shape"]))
        return mx.nd.sparse.row_sparse_array((x["rows"], x["ids"]), shape=tuple(x["shape"]))

    def ids(x: Any) -> Any:
        lists = x if x and isinstance(x[0], list) else [x]
        made = [mx.nd.array(each, dtype="int64") for each in lists]
        return made if x and isinstance(x[0], list) else made[0]

    def read(x: Any) -> Any:
        if isinstance(x, list):
            return [read(each) for each in x]
        if x.stype == "default":
            return {"dense": x.asnumpy().tolist()}
        return {
            "shape": list(x.shape),
            "rows": x.data.asnumpy().tolist(),
            "ids": x.indices.asnumpy().tolist(),
        }

    def twice(key: Any, given: Any, stored: Any) -> None:
        stored += given * 2

    def call(store: Any, method: str, arguments: Any) -> Any:
        given = dict(arguments)
        if method == "set_optimizer":
            return store.set_optimizer(mx.optimizer.create(given["name"], **given["options"]))
        if method == "_set_updater":
            return store._set_updater(twice)
        given |= {name: array(given[name]) for name in ("value", "out") if name in given}
        if "row_ids" in given:
            given["row_ids"] = ids(given["row_ids"])
        getattr(store, method)(**given)
        written = given.get("out", given["value"] if method == "pushpull" else None)
        return None if written is None else read(written)

    found = []
    for name, calls in CASES.items():
        store, told = mx.kv.create("local"), []
        for method, arguments in calls:
            try:
                told.append([method, arguments, call(store, method, arguments)])
            except (mx.MXNetError, AssertionError):
                told.append([method, arguments, "refused"])
        found.append({"case": name, "calls": told})
    lines = ",\n".join(json.dumps(case) for case in found)
    FILE.write_text(f'{{"mxnet": "{mx.__version__}", "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
