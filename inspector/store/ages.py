"""Whether the age of what is stored can be told: not for a while after somebody set the wall clock."""

from __future__ import annotations

from inspector.clock import Clock

JUMP_S = 60.0
"""A wall clock that moves by more between two looks was set; one that is corrected bit by bit stays below."""


class Ages:
    """Watches the wall clock against the monotonic one.

    Args:
        clock: The machine's.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._apart_s = self._apart()
        self._wait_until_s = 0.0
        self._had_turn = True

    def _apart(self) -> float:
        return self._clock.now().timestamp() - self._clock.monotonic()

    def can_tell(self, horizon_s: float) -> bool:
        """Say whether what looks older than `horizon_s` is; after a jump of the clock, wait that long.

        A clock that is set again and again keeps nothing for good: after each wait there is a turn.
        """
        now_s = self._clock.monotonic()
        before, self._apart_s = self._apart_s, self._apart()
        if abs(self._apart_s - before) > JUMP_S and self._had_turn:
            self._wait_until_s, self._had_turn = now_s + horizon_s, False
        if now_s < self._wait_until_s:
            return False
        self._had_turn = True
        return True
