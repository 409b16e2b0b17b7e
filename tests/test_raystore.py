"""What the driver puts where processes of its machine read it: no interrupt takes room that nobody has."""

import signal
import sys
from types import FrameType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import symopt.distributed.arena
import symopt.distributed.raystore
from symopt.distributed.raystore import Store

FILES = (symopt.distributed.arena.__file__, symopt.distributed.raystore.__file__)


class Came(Exception):
    """What a handler raises."""


def test_an_interrupt_at_any_instruction_takes_no_room(no_collections: None) -> None:
    instance: Any = SimpleNamespace(capacity=1 << 20, full=MemoryError, ray=SimpleNamespace(put=None))
    store, value, place, came = Store(instance, share=True), np.zeros(100), 0, 0
    if store.arena is None:
        pytest.skip("this system has no memory to share")

    def interrupt(*_: object) -> None:
        raise Came

    seen = 0

    def step(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal seen
        if frame.f_code.co_filename not in FILES or frame.f_code.co_name == "__del__":
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            seen += 1
            if seen == place:
                signal.raise_signal(signal.SIGUSR1)
        return step

    before, traced = signal.signal(signal.SIGUSR1, interrupt), sys.gettrace()
    try:
        while seen >= place:
            place, seen, held = place + 1, 0, None
            sys.settrace(step)
            try:
                held = store.put(value)
            except Came:
                came += 1
            finally:
                sys.settrace(traced)
            del held
            assert store.held_bytes == store.arena.used == 0, place
    finally:
        sys.settrace(traced)
        signal.signal(signal.SIGUSR1, before)
    assert came > 100
