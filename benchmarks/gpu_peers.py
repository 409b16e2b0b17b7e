"""Peers on the same arrays: torch's optimizers, and a kernel that moves Adam's bytes and does little else."""

from __future__ import annotations

from importlib import util
from typing import Any

import gpu_formulas as formulas
import numpy as np
from gpu_check import Contender
from gpu_formulas import BETA1, BETA2, EPSILON, LR
from gpu_machine import Gpu, Machine, Step

Arrays = dict[str, Any]
TRAFFIC = """
extern "C" __global__ void __launch_bounds__(256)
traffic(float4* w, const float4* g, float4* m, float4* v, long long n) {
    for (long long i = blockIdx.x * 256ll + threadIdx.x; i < n; i += gridDim.x * 256ll) {
        float4 W = w[i], G = g[i], M = m[i], V = v[i];
        M.x += G.x; M.y += G.y; M.z += G.z; M.w += G.w;
        V.x += G.x; V.y += G.y; V.z += G.z; V.w += G.w;
        W.x -= M.x; W.y -= M.y; W.z -= M.z; W.w -= M.w;
        w[i] = W; m[i] = M; v[i] = V;
    }
}
"""


def has_torch() -> bool:
    return util.find_spec("torch") is not None


def adams() -> dict[str, Contender]:
    """torch.optim.Adam, fused and foreach; nothing without torch."""
    if not has_torch():
        return {}
    return {
        f"torch {kind}": Contender(_optimizer(kind), formulas.torch_adam) for kind in ("fused", "foreach")
    }


def _optimizer(kind: str) -> Any:
    def make(machine: Machine, arrays: Arrays) -> Step:
        optimizer = _torch_adam(machine, arrays, kind)
        return lambda t: optimizer.step()

    return make


def _torch_adam(machine: Machine, arrays: Arrays, kind: str) -> Any:
    import torch

    count = sum(name[0] == "w" for name in arrays)
    tensors = [[machine.tensor(arrays[f"{n}{k}"]) for n in "wgmv"] for k in range(count)]
    parameters = [torch.nn.Parameter(w) for w, *_ in tensors]
    optimizer = torch.optim.Adam(parameters, lr=LR, betas=(BETA1, BETA2), eps=EPSILON, **{kind: True})
    where = tensors[0][0].device if kind == "fused" else "cpu"
    for parameter, (_, g, m, v) in zip(parameters, tensors):
        parameter.grad = g
        step = torch.tensor(0.0, device=where)
        optimizer.state[parameter] = {"step": step, "exp_avg": m, "exp_avg_sq": v}
    return optimizer


def clipped() -> dict[str, Contender]:
    """torch's clip_grad_norm_, which scales the gradients where they are, then fused Adam.

    Gradients that were scaled once have the norm asked for and are scaled by (nearly) 1 in later steps.
    """
    if not has_torch():
        return {}

    def make(machine: Machine, arrays: Arrays) -> Step:
        import torch

        copies = {n: x.copy() if n[0] == "g" else x for n, x in arrays.items()}
        optimizer = _torch_adam(machine, copies, "fused")
        parameters = optimizer.param_groups[0]["params"]

        def step(t: int) -> None:
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()

        return step

    # The norm is summed in float32, in torch's order.
    return {"torch clip, fused": Contender(make, formulas.torch_adam, dict.fromkeys("wmv", 1e-4))}


def sparse_adam(coalesced: bool) -> dict[str, Contender]:
    """torch.optim.SparseAdam; it sorts and sums rows itself when they are not known to be coalesced."""
    if not has_torch():
        return {}

    def make(machine: Machine, arrays: Arrays) -> Step:
        import torch

        w, m, v, data, indices = (machine.tensor(arrays[n]) for n in ("w", "m", "v", "data", "indices"))
        parameter = torch.nn.Parameter(w)
        parameter.grad = torch.sparse_coo_tensor(
            indices[None], data, w.shape, is_coalesced=coalesced, check_invariants=False
        )
        optimizer = torch.optim.SparseAdam([parameter], lr=LR, betas=(BETA1, BETA2), eps=EPSILON)
        optimizer.state[parameter] = {"step": 0, "exp_avg": m, "exp_avg_sq": v}
        return lambda t: optimizer.step()

    return {"torch SparseAdam": Contender(make, formulas.adam)}


def traffic(machine: Machine) -> dict[str, Contender]:
    """Adam's four reads and three writes; what it computes is nothing to check."""
    if not isinstance(machine, Gpu):
        return {}

    def make(machine: Machine, arrays: Arrays) -> Step:
        cupy = machine.xp
        kernel = cupy.RawKernel(TRAFFIC, "traffic")
        blocks = 8 * cupy.cuda.Device().attributes["MultiProcessorCount"]
        given = (*(arrays[f"{n}0"] for n in "wgmv"), np.int64(arrays["w0"].size // 4))
        return lambda t: kernel((blocks,), (256,), given)

    return {"the same traffic": Contender(make, None)}
