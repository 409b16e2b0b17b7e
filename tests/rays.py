"""Ray for tests: one small instance on loopback for each process of pytest, started when a test first asks for it."""

from symopt.distributed.onray import OnRay

STORE_BYTES = 96 << 20


_started: dict[bool, OnRay] = {}


def instance(share: bool = True) -> OnRay:
    """The one of this process; it ends with it, or when a test shuts Ray down: then the next is another. Without
    `share` its processes are called as if they were on other machines."""
    if not ray_runs():
        _started.clear()
    if share not in _started:
        _started[share] = OnRay(num_cpus=2, store_bytes=STORE_BYTES, share=share)
    return _started[share]


def ray_runs() -> bool:
    """Whether this process is connected to Ray."""
    import ray

    return bool(ray.is_initialized())
