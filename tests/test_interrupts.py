"""Work that no interrupt splits: whenever a signal comes, the work is done, and handlers are what they were."""

import contextlib
import signal
import socket
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

import symopt.interrupts
from symopt.interrupts import uninterrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGVTALRM, signal.SIGUSR1, signal.SIGUSR2)


class Came(Exception):
    """What a handler raises."""


def raising(number: int, frame: FrameType | None) -> None:
    raise Came(number)


@pytest.fixture
def handled(no_collections: None) -> Iterator[Callable[[], dict[int, Any]]]:
    """All these signals raise; the handlers at present."""
    before = {number: signal.signal(number, raising) for number in SIGNALS}
    yield lambda: {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        signal.signal(number, handler)


def raised_at(place: int, number: int, work: Callable[[], None]) -> bool:
    """Whether work has so many instructions that the signal came before that one of those of the library."""
    seen = 0

    def step(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal seen
        if frame.f_code.co_filename != symopt.interrupts.__file__:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            seen += 1
            if seen == place:
                signal.raise_signal(number)
        return step

    traced = sys.gettrace()
    sys.settrace(step)
    try:
        work()
    except Came:
        pass
    finally:
        sys.settrace(traced)
    return seen >= place


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("within", [None, signal.SIGUSR1, signal.SIGINT], ids=["none", "SIGUSR1", "SIGINT"])
def test_a_signal_at_any_instruction(
    number: int, within: int | None, handled: Callable[[], dict[int, Any]]
) -> None:
    begun, done = [], []

    def work() -> None:
        with uninterrupted():
            begun.append(1)
            if within:
                signal.raise_signal(within)
            done.append(1)

    before, place = handled(), 1
    while raised_at(place, number, work):
        assert handled() == before, place
        assert begun == done, place
        place += 1
    assert place > 200


def test_two_signals_at_once(handled: Callable[[], dict[int, Any]]) -> None:
    """Whatever they interrupt: of what they left, the next block takes its part back, or hands on."""
    before, came = handled(), 0
    until = time.monotonic() + 1
    while time.monotonic() < until:
        for k in range(50):
            try:
                signal.setitimer(signal.ITIMER_VIRTUAL, 2e-5 + 1e-6 * k)
                signal.setitimer(signal.ITIMER_REAL, 2e-5 + 1e-6 * k)
                for _ in range(100):
                    with uninterrupted():
                        pass
            except Came:
                came += 1
            finally:
                quiet()
            with uninterrupted():
                pass
            assert handled() == before
    assert came


def quiet() -> None:
    """No timer runs any more, whatever still comes of them."""
    while True:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            return
        except Came:
            pass


def test_a_note_left_behind_hands_on(handled: Callable[[], dict[int, Any]]) -> None:
    before = handled()
    left = uninterrupted()
    left.__enter__()
    note = signal.getsignal(signal.SIGUSR1)
    left.__exit__()
    signal.signal(signal.SIGUSR1, note)
    with pytest.raises(Came):
        signal.raise_signal(signal.SIGUSR1)
    assert handled() == before
    signal.signal(signal.SIGUSR1, note)
    done = []
    with pytest.raises(Came), uninterrupted():
        signal.raise_signal(signal.SIGUSR1)
        done.append(1)
    assert done and handled() == before


def test_signals_are_handled_behind_and_in_order() -> None:
    log: list[Any] = []
    own = {
        n: signal.signal(n, lambda number, _: log.append(number)) for n in (signal.SIGTERM, signal.SIGUSR1)
    }
    try:
        with pytest.raises(KeyboardInterrupt), uninterrupted():
            with uninterrupted():
                for number in (signal.SIGUSR1, signal.SIGINT, signal.SIGINT, signal.SIGTERM):
                    signal.raise_signal(number)
            log.append("done")
        assert log == ["done", signal.SIGUSR1, signal.SIGTERM]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        for n, handler in own.items():
            signal.signal(n, handler)


@pytest.mark.parametrize("number", [None, signal.SIGUSR1], ids=["none", "SIGUSR1"])
def test_nothing_is_kept_until_a_collection(
    number: int | None, handled: Callable[[], dict[int, Any]]
) -> None:
    """Frames of callers would keep their arrays."""

    def work() -> weakref.ref[Any]:
        local = Came()
        with contextlib.suppress(Came), uninterrupted():
            if number:
                signal.raise_signal(number)
        return weakref.ref(local)

    assert work()() is None


def test_an_event_loop_is_told_once(handled: Callable[[], dict[int, Any]]) -> None:
    """asyncio hears of signals by what is written when they come, and not by handlers."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    before = signal.set_wakeup_fd(theirs.fileno())
    try:
        with pytest.raises(Came), uninterrupted():
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.set_wakeup_fd(before)
    assert ours.recv(10) == bytes([signal.SIGUSR1])
    ours.close()
    theirs.close()
