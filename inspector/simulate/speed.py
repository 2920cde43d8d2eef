"""How the strip moves: a profile of speeds, with stops and reverse jogs, as stretches of lines and as `line` commands.

The camera takes a line for each `mm_per_px` that the strip moves, either way: while it stands there are no lines, and
after a reverse jog the same surface is seen again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from inspector.simulate.order import Order, OrderError

OPTION = "--speed-profile"
MAX_SPEED_M_S = 50.0


@dataclass(frozen=True, slots=True)
class Speed:
    """From a second on, the strip's speed; negative: backwards."""

    at_s: float
    speed_m_s: float


@dataclass(frozen=True, slots=True)
class Stretch:
    """Lines of the strip that pass the camera at one speed.

    Attributes:
        first: Strip line that passes first.
        count: How many pass.
        step: 1 forward, -1 backwards.
        at_s: When the first passes; 0 without a profile.
        lines_per_s: How fast; 0 without a profile: nothing is known.
        starts: The row of the profile that begins here, or None.
    """

    first: int
    count: int
    step: int = 1
    at_s: float = 0.0
    lines_per_s: float = 0.0
    starts: Speed | None = None

    @property
    def top(self) -> int:
        """The strip line among them that is nearest to the head."""
        return self.first if self.step > 0 else self.first - self.count + 1


def read_profile(path: Path) -> list[Speed]:
    """Return the rows of a file: seconds and m/s, separated by a comma or blanks; # begins a remark.

    Raises:
        OrderError: It cannot be read, a row is none, seconds do not rise, or it does not begin at 0.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise OrderError(OPTION, f"cannot be read: {path}: {getattr(exc, 'strerror', None) or exc}") from exc
    rows: list[Speed] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].replace(",", " ").split()
        if not words:
            continue
        try:
            at_s, speed_m_s = (float(word) for word in words)
        except ValueError as exc:
            if not rows and all(word[0].isalpha() for word in words):
                continue  # a heading
            raise OrderError(OPTION, f"line {number}: seconds and m/s are expected: {line.strip()}") from exc
        if not abs(speed_m_s) <= MAX_SPEED_M_S or not 0 <= at_s < 1e9:
            raise OrderError(OPTION, f"line {number}: seconds, and m/s up to {MAX_SPEED_M_S:g}: {line.strip()}")
        if rows and at_s <= rows[-1].at_s:
            raise OrderError(OPTION, f"line {number}: seconds must rise: {line.strip()}")
        rows.append(Speed(at_s, speed_m_s))
    if not rows or rows[0].at_s != 0:
        raise OrderError(OPTION, f"its first row must be at second 0: {path}")
    return rows


def stretches(order: Order, profile: Sequence[Speed] | None) -> Iterator[Stretch]:
    """Yield how the strip passes until its last line has.

    Raises:
        OrderError: It never does, or a reverse jog goes back over its head.
    """
    if profile is None:
        yield Stretch(0, order.lines)
        return
    place = 0.0  # lines of the strip that have passed
    for number, row in enumerate(profile):
        end_s = profile[number + 1].at_s if number + 1 < len(profile) else None
        lines_per_s = row.speed_m_s * 1000 / order.mm_per_px
        left = order.lines - place
        if end_s is None and row.speed_m_s <= 0:
            raise OrderError(OPTION, f"the strip stops before its end: after {place * order.mm_per_px / 1000:.1f} m")
        moved = left if end_s is None else min(left, lines_per_s * (end_s - row.at_s))
        if place + moved < -0.5:
            raise OrderError(OPTION, f"at second {row.at_s:g} the strip goes back over its head")
        now, then = round(place), round(place + moved)
        step = 1 if then >= now else -1
        yield Stretch(now if step > 0 else now - 1, abs(then - now), step, row.at_s, abs(lines_per_s), row)
        place += moved
        if then >= order.lines:
            return


def furthest_back(order: Order, profile: Sequence[Speed] | None) -> int:
    """Return over how many lines the strip goes back at most, from the furthest that it had come.

    Raises:
        OrderError: As `stretches`.
    """
    furthest = back = 0
    for stretch in stretches(order, profile):
        furthest = max(furthest, stretch.top + stretch.count)
        back = max(back, furthest - stretch.top) if stretch.step < 0 else back
    return back
