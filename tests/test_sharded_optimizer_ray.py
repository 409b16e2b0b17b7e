"""ShardedOptimizer over Ray: the bits of one process, also when an owner is killed."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import rays
import sharded_cases as cases
from sharded_cases import ODD, ranks, same_bits, same_state, step

from symopt.distributed import Cluster

pytest.importorskip("ray", reason="Ray has no wheel for this Python")


@pytest.mark.parametrize(
    "options",
    [{"rule": "adam"}, {"rule": "lamb", "wd": 0.1, "clip_global_norm": 1.0, "loss_scale": 2.0}],
    ids=["adam", "lamb"],
)
def test_processes_that_are_killed(options: dict[str, Any]) -> None:
    on_ray = rays.instance()
    given = dict(options)
    made, whole, params, single = cases.both(on_ray, given.pop("rule"), ODD, 2, 3, lr=0.1, **given)
    with made:
        for k in range(6):
            if k in (2, 4):
                process = on_ray.process_id(made._owners.lines[k // 4]._host)
                assert process is not None
                os.kill(process, signal.SIGKILL)
            if k == 3:
                made.snapshot()
            step(made, whole, ranks(k, 3))
            same_bits(params, single)
        same_state(made.state_dict(), whole.state_dict())
        assert made.recoveries == 2


def test_a_checkpoint_is_gone_on_from_after_kills(tmp_path: Path) -> None:
    on_ray = rays.instance()
    cluster = Cluster(2, path=tmp_path, transport=on_ray)
    try:
        made, whole, params, single = cases.both(cluster, "adam", ODD, None, 2, lr=0.1)
        step(made, whole, ranks(0, 2))
        process = on_ray.process_id(made._owners.lines[1]._host)
        assert process is not None
        os.kill(process, signal.SIGKILL)
        step(made, whole, ranks(1, 2))
        cluster.checkpoint()
        made.step(ranks(5, 2))
        process = on_ray.process_id(made._owners.lines[0]._host)
        assert process is not None
        os.kill(process, signal.SIGKILL)
        cluster.restore()
        same_bits(params, single)
        cluster.reshard(1)
        assert made.n_owners == 1 and made.recoveries == 2
        step(made, whole, ranks(2, 2))
        same_bits(params, single)
        same_state(made.state_dict(), whole.state_dict())
        made.close()
    finally:
        for line in cluster.lines:
            line.stop()
