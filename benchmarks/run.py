"""Measure symopt beside its peers and print the ratios; `python benchmarks/run.py --help`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import bags
import classes
import dense
import forward
import guard
import idmap
import kvstore
import lamb
import mixed
import rows
import shards
import sparse
import startup
import tables
import torch_optim
from harness import attended, machine

import symopt as so

JOBS = {
    "import": startup.imports,
    "bind": startup.bind,
    "latency": dense.latency,
    "fresh": forward.fresh,
    "fresh_rows": forward.fresh_rows,
    "many": dense.many,
    "large": dense.large,
    "clip_ema": dense.clip_ema,
    "clip_ema_adamw": dense.clip_ema_adamw,
    "lamb": lamb.lamb,
    "torch_optim": torch_optim.adam,
    "mp_adam": mixed.mp_adam,
    "lazy": sparse.lazy,
    "id_map": idmap.id_map,
    "id_batches": idmap.id_batches,
    "bags": bags.bags,
    "tables": bags.tables,
    "group_adagrad": rows.group_adagrad,
    "lazy_group_adagrad": rows.lazy_group_adagrad,
    "classes": classes.classes,
    **tables.JOBS,
    **shards.JOBS,
    **kvstore.JOBS,
    "guard_adam": guard.guard_adam,
    "guard_many": guard.guard_many,
    "guard_lazy": guard.guard_lazy,
    "guard_mixed": guard.guard_mixed,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: does everything run?")
    parser.add_argument("--only", choices=JOBS, help="one job")
    parser.add_argument("--json", type=Path, help="write the rows to this file too")
    parser.add_argument("--threads", type=int, help="default: what symopt takes by itself")
    options = parser.parse_args()
    so.set_num_threads(options.threads)
    print(machine())
    found = []
    for name, job in JOBS.items():
        if options.only in (None, name):
            for row in attended(job(options.quick)):
                if options.quick:
                    row.targets, row.limit = {}, None  # the targets are for the full sizes
                print("\n".join(row.lines()), flush=True)
                found.append(asdict(row))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "rows": found}, indent=1))


if __name__ == "__main__":
    main()
