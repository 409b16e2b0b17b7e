"""Kernels to a program: which instances run together, and where every value lives."""

from __future__ import annotations

from .calls import size_of
from .ir import Instance, Kernel, Launch, Lowered, Program, Value
from .merge import merge
from .schedule import Schedule


def plan(lowered: Lowered, schedule: Schedule) -> Program:
    """The program of a step. Instances of one kernel on one level are one launch."""
    launches: list[Launch] = []
    for level in schedule.levels:
        batch: dict[int, Launch] = {}
        for region in level:
            kernel, instance = merge(region, schedule)
            launch = batch.get(id(kernel))
            if launch is None:
                launch = batch[id(kernel)] = Launch(kernel, [])
                launches.append(launch)
            launch.instances.append(instance)
    program = Program(lowered, launches, {}, [], [])
    _place(program, schedule)
    return program


def _place(program: Program, schedule: Schedule) -> None:
    """Give every value a variable's array or a buffer of the executor's; temporaries reuse buffers that are free."""
    lowered = program.lowered
    kept = {id(v) for v in lowered.heads}
    last = _last_use(program, schedule)
    free: dict[tuple[str, int], list[int]] = {}
    owned: dict[int, list[tuple[int, tuple[str, int]]]] = {}
    for variable, value in lowered.variables.items():
        program.storage[id(value)] = variable
    program.storage.update(schedule.in_place)
    for k, launch in enumerate(program.launches):
        for instance in launch.instances:
            for value, _ in written(launch.kernel, instance):
                whole = value.base[0] if value.base else value
                if id(whole) in program.storage:
                    continue
                if id(whole) in schedule.in_place:
                    program.storage[id(whole)] = schedule.in_place[id(whole)]
                    continue
                slot = (whole.dtype, size_of(whole.shape))
                pool = free.get(slot)
                if pool and id(whole) not in kept:
                    number = pool.pop()
                else:
                    number = len(program.buffers)
                    program.buffers.append((whole.dtype, whole.shape))
                program.storage[id(whole)] = number
                if id(whole) not in kept:
                    owned.setdefault(last.get(id(whole), k), []).append((number, slot))
        for number, slot in owned.pop(k, ()):
            free.setdefault(slot, []).append(number)
    program.copies = list(schedule.deferred)


def written(kernel: Kernel, instance: Instance) -> list[tuple[Value, int]]:
    """The values an instance makes and the numbers of the buffers they go to."""
    made: dict[int, tuple[Value, int]] = {}
    outputs = [v for call in instance.region.calls for v in call.outputs]
    by_buffer = {id(v): v for v in outputs}
    for _, buffer in kernel.stores:
        value = instance.values[buffer]
        if id(value) in by_buffer:
            made[buffer] = (value, buffer)
    return list(made.values())


def _last_use(program: Program, schedule: Schedule) -> dict[int, int]:
    last: dict[int, int] = {}
    for k, launch in enumerate(program.launches):
        for instance in launch.instances:
            for value in instance.values:
                last[id(value.base[0] if value.base else value)] = k
    for value, _ in schedule.deferred:
        last[id(value)] = len(program.launches)
    return last
