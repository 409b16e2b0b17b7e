"""Calls between processes of one machine: messages on a socket, a connection for each lane.

A message is its length, 8 bytes, and a pickle. Large arrays are not in it but in memory that both map (`arena.py`).
"""

from __future__ import annotations

import os
import pickle
import select
import socket
import struct
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ClusterError, ProcessLostError
from ..interrupts import uninterrupted

_LENGTH = struct.Struct("<Q")
_SLICE = 0.05  # seconds that one thread keeps others from a connection while it waits
_PIECE = 1 << 18  # bytes


class Listener:
    """The end at the process that is called. `answer` is called with what messages say, by one thread for each
    connection, and gives what is sent back. `address` is for `Channel`s of the same user."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        self.address = f"\0symopt-{os.urandom(16).hex()}"  # in no folder, and gone with the process
        self._answer = answer
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(self.address)
        self._socket.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            if _user(connection) == os.getuid():  # what others send may be anything
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
            else:
                connection.close()

    def _serve(self, connection: socket.socket) -> None:
        try:
            while True:
                said = pickle.loads(_received(connection, _LENGTH.unpack(_received(connection, 8))[0]))
                connection.sendall(_message(self._answer(*said)))
        except (ConnectionError, EOFError):  # nobody calls any more
            connection.close()


class Answer:
    """What a call is answered: `values`, when it is there; or why it never will be."""

    __slots__ = ("__weakref__", "error", "values")

    def __init__(self, error: ProcessLostError | None = None) -> None:
        self.values: Sequence[Any] | None = None
        self.error: ProcessLostError | ClusterError | None = error

    @property
    def is_there(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.values is not None or self.error is not None


class Channel:
    """One lane of calls to a process. Answers come in the order of calls. `take` makes values of what was received,
    also if nobody wants them any more. Sending does not wait; several threads may use it."""

    def __init__(self, address: str, name: str, take: Callable[[Any], Sequence[Any]]) -> None:
        self.name, self._take = name, take
        self._lock = threading.RLock()
        self._pending: deque[weakref.ref[Answer]] = deque()
        self._out: deque[memoryview] = deque()
        self._in = bytearray()
        self._lost: ProcessLostError | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        try:
            self._socket.connect(address)
            self._socket.setblocking(False)
        except OSError as error:  # nobody is there any more
            self._lose(error)

    def call(self, *said: Any) -> Answer:
        """Send a message; the answer comes later."""
        answer = Answer()
        message = memoryview(_message(said))
        with self._lock, uninterrupted():
            if self._lost is not None:
                answer.error = self._lost
                return answer
            self._pending.append(weakref.ref(answer))
            self._out.append(message)
            self._send()
        return answer

    def wait(self, answer: Answer, timeout: float | None) -> None:
        """Until it is there. TimeoutError after so many seconds."""
        until = float("inf") if timeout is None else time.monotonic() + timeout
        is_first = True
        while not answer.is_there:
            left = until - time.monotonic()
            if left <= 0 and not is_first:
                raise TimeoutError(f"{self.name} has not answered after {timeout:g} s")
            is_first = False
            with self._lock:
                if not answer.is_there:
                    self.pump(min(max(left, 0.0), _SLICE))

    def pump(self, seconds: float) -> None:
        """Send and receive what can be, and wait so long for something."""
        with self._lock:
            if self._lost is not None:
                return
            self._poll.modify(self._socket, select.POLLIN | (select.POLLOUT if self._out else 0))
            if not self._poll.poll(seconds * 1000):
                return
            with uninterrupted():  # else bytes that were received could be lost
                self._send()
                self._receive()

    def fileno(self) -> int:
        """Of the socket, for those who wait for several."""
        return self._socket.fileno()

    def close(self) -> None:
        """Call no more."""
        with self._lock:
            self._lose(None)

    def _send(self) -> None:
        try:
            while self._out:
                sent = self._socket.send(self._out[0])
                self._out[0] = self._out[0][sent:]
                if not self._out[0]:
                    self._out.popleft()
        except BlockingIOError:
            pass
        except OSError as error:
            self._receive()  # what it has answered before it was gone
            self._lose(error)

    def _receive(self) -> None:
        try:
            while piece := self._socket.recv(_PIECE):
                self._in += piece
            error: OSError | None = ConnectionResetError("it has closed the connection")
        except BlockingIOError:
            error = None
        except OSError as found:
            error = found
        begin = 0
        while len(self._in) >= begin + 8:
            end = begin + 8 + _LENGTH.unpack_from(self._in, begin)[0]
            if len(self._in) < end:
                break
            self._arrived(bytes(memoryview(self._in)[begin + 8 : end]))
            begin = end
        del self._in[:begin]
        if error is not None:
            self._lose(error)

    def _arrived(self, message: bytes) -> None:
        """What can't be read here, such as an object of a module that only others find, is the error of one answer."""
        answer = self._pending.popleft()()
        values, error = None, None
        try:
            values = self._take(pickle.loads(message))
        except Exception as found:
            error = ClusterError(
                f"{self.name} answered what can't be read here: {type(found).__name__}: {found}"
            )
        if answer is not None:
            answer.values, answer.error = values, error

    def _lose(self, error: OSError | None) -> None:
        if self._lost is None:
            self._lost = ProcessLostError(f"{self.name} is gone: {error or 'it was let go'}")
            self._lost.process = self.name
            self._socket.close()
        for pending in self._pending:
            if (answer := pending()) is not None:
                answer.error = self._lost
        self._pending.clear()
        self._out.clear()


def wait_for_any(channels: Sequence[Channel], seconds: float) -> None:
    """Wait until something comes on one of several connections, or so long."""
    poll = select.poll()
    by_file = {file: channel for channel in channels if (file := channel.fileno()) >= 0}
    for file in by_file:
        poll.register(file, select.POLLIN)
    for file, _ in poll.poll(seconds * 1000):
        by_file[file].pump(0.0)


def _message(said: Any) -> bytes:
    content = pickle.dumps(said, protocol=5)
    return _LENGTH.pack(len(content)) + content


def _received(connection: socket.socket, n: int) -> bytearray:
    """So many bytes. EOFError if there are no more."""
    found = bytearray(n)
    view = memoryview(found)
    while view:
        got = connection.recv_into(view)
        if not got:
            raise EOFError
        view = view[got:]
    return found


def _user(connection: socket.socket) -> int:
    """The number of the user whose process is at the other end."""
    said = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", said)[1])
