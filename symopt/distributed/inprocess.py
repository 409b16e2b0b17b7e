"""All processes of a cluster in this one: each is an object, and a call is a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .transport import WRITES, Held, served


class Answered:
    """The answer of a call that was made at once: a value, or what was raised."""

    __slots__ = ("error", "value")

    def __init__(self, value: Any, error: BaseException | None = None) -> None:
        self.value, self.error = value, error

    def get(self) -> Any:
        """The value; or raise."""
        if self.error is not None:
            raise self.error
        return self.value


class InProcess:
    """A Transport without processes. Arrays are passed as they are, and not copied."""

    may_lose = False
    capacity = 1 << 62

    def start(self, service: str, name: str, config: Mapping[str, Any]) -> Any:
        """See Transport."""
        return served(service, config)

    def call(self, host: Any, method: str, *args: Any, returns: int = 1, lane: str = WRITES) -> Any:
        """See Transport."""
        try:
            found = getattr(host, method)(*(a.get() if type(a) is Answered else a for a in args))
        except Exception as error:
            return Answered(None, error) if returns == 1 else [Answered(None, error)] * returns
        return Answered(found) if returns == 1 else [Answered(each) for each in found]

    def wait(self, reply: Answered, timeout: float | None = None) -> Any:
        """See Transport."""
        return reply.get()

    def is_done(self, reply: Answered) -> bool:
        """See Transport."""
        return True

    def ready(self, replies: Sequence[Answered], timeout: float | None = None) -> list[Answered]:
        """See Transport."""
        return [*replies]

    def put(self, value: Any) -> Held:
        """See Transport. Nothing is copied, since nothing is ever sent again."""
        return Answered(value)

    def secure(self, reply: Answered, host: Any, timeout: float | None = None) -> None:
        """See Transport."""

    def process_id(self, host: Any) -> int | None:
        """See Transport."""
        return None

    def stop(self, host: Any) -> None:
        """See Transport."""

    def close(self) -> None:
        """See Transport."""
