"""What a broker may have lost when it loses its memory, and so what is sent to it again. No socket, store or clock.

A *life* of a broker begins when the mark that it keeps is gone or behind what it had acknowledged: since then it has
what it still had, and what was sent since. Every message is sent again after the first death that it may not have
survived: a consumer that was away has not got it. It is not sent again after each further one:

- If a life began without any memory, no session was there either: who subscribes came back in this life, and gets what
  is sent. So what was sent again in it is safe some seconds later, or when it was sent again in two such lives.
- If a life began with an older memory, sessions of consumers that are away may be part of it. So what was sent again is
  safe once the grace has passed in which they come back.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import asdict, dataclass, fields, replace

GONE = -1
"""In place of the `seq` of a mark: the broker keeps none."""
SETTLED_S = 2.0
"""Time in which a consumer that is there gets what the broker has acknowledged."""


@dataclass(frozen=True, slots=True)
class Life:
    """A life of a broker, and what is known from those before it.

    Attributes:
        base: The last `seq` that was acknowledged before it began; 0: the first life.
        reached: Up to where everything has arrived in it, at most `base`.
        once: Up to where everything was sent again in an earlier life that began empty.
        safe: Up to where nothing is ever sent again.
        empty: It began without any memory.
        began_ms: When, ms since 1970.
        again_from: From where everything is sent once more when the grace is over, because this broker does not say who
            listens; 0: nothing is.
    """

    base: int = 0
    reached: int = 0
    once: int = 0
    safe: int = 0
    empty: bool = True
    began_ms: int = 0
    again_from: int = 0

    @classmethod
    def read(cls, text: str | None) -> Life:
        """Return a life from its text, or the first one if there is none or it is damaged."""
        try:
            known = json.loads(text or "{}")
            values = {field.name: known[field.name] for field in fields(cls) if field.name in known}
        except (ValueError, TypeError, RecursionError):
            return cls()
        return cls(**values) if all(type(value) in (int, bool) for value in values.values()) else cls()

    @property
    def text(self) -> str:
        """As `read` takes it."""
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def caught_up(self) -> bool:
        """Whether the broker has got again what it may have lost."""
        return self.reached >= self.base and not self.again_from

    def arrived(self, cursor: int) -> int:
        """Return up to where everything has arrived in this life."""
        return cursor if self.reached >= self.base else self.reached

    def sent_once_more(self, from_seq: int) -> Life:
        """Return this life with everything to be sent once more from `from_seq` on; 0: nothing."""
        return replace(self, again_from=from_seq)

    def after(self, acknowledged: int, settled: int) -> Life:
        """Return this life after more has arrived.

        Args:
            acknowledged: Up to where everything has arrived.
            settled: Up to where it had arrived so long ago that it is safe.
        """
        reached = max(self.reached, min(acknowledged, self.base))
        return replace(self, reached=reached, safe=max(self.safe, min(settled, self.base)))


def next_life(life: Life, cursor: int, mark: int | None, first_kept: int | None, now_ms: int) -> tuple[Life, int, bool]:
    """Return the life in which a connection finds its broker, after which `seq` to send, and whether the life is new.

    Args:
        life: The one that was known.
        cursor: The last `seq` up to which everything was acknowledged, in whatever life.
        mark: Up to where the broker still has everything, by the mark it keeps; None: unknown; `GONE`: it keeps none.
        first_kept: The oldest message that can be sent again; None: none can.
        now_ms: The time, ms since 1970.
    """
    arrived = life.arrived(cursor)
    if mark is None or mark >= arrived:
        start = max(arrived, min(mark or 0, cursor))
        return replace(life, reached=max(life.reached, min(start, life.base))), start, False
    horizon = cursor if first_kept is None else first_kept - 1
    once, safe = life.once, life.safe
    if life.base and life.empty:
        safe = max(safe, min(life.reached, once))
        once = max(once, min(life.reached, life.base))
    start = min(cursor, max(mark, safe, horizon, 0))
    return Life(cursor, start, once, safe, mark == GONE, now_ms), start, True


class Settling:
    """Knows how far everything had arrived some time ago, on one connection."""

    def __init__(self) -> None:
        self._lag_s = 0.0
        self._seen: deque[tuple[float, int]] = deque()
        self._settled = 0

    def open(self, lag_s: float) -> None:
        """Begin a connection, with the time after which an arrival counts."""
        self._lag_s = lag_s
        self._seen.clear()
        self._settled = 0

    def settled(self, acknowledged: int, now_s: float) -> int:
        """Note how far everything has arrived, and return how far it had `lag_s` ago."""
        if not self._seen or now_s - self._seen[-1][0] >= self._lag_s / 16:
            self._seen.append((now_s, acknowledged))
        while self._seen and now_s - self._seen[0][0] >= self._lag_s:
            self._settled = self._seen.popleft()[1]
        return self._settled
