"""What a station says of a store that was broken when it started: once in `coverage`, and for a day in health."""

from __future__ import annotations

from datetime import datetime, timedelta

from inspector.clock import from_timestamp_ms
from inspector.items import STORE_SET_ASIDE, Lost
from inspector.station.inbox import Inbox
from inspector.store.aside import Aside
from inspector.telemetry.metrics import Metrics

ASIDE_SHOWN = timedelta(days=1)
"""How long health says that a store was set aside."""


def report_aside(aside: Aside | None, inbox: Inbox, metrics: Metrics, now: datetime) -> str | None:
    """Report a store that was set aside; a restart reports it again, under the same id.

    Args:
        aside: `Store.aside`.
        inbox: Takes the coverage message.
        metrics: Shows when it happened, for ever.
        now: The present moment.

    Returns:
        The reason for health, or None if there is none (any more).
    """
    if aside is None:
        return None
    metrics.store_aside.set(aside.at_ms / 1000)
    at = from_timestamp_ms(aside.at_ms)
    if abs(now - at) > ASIDE_SHOWN:
        return None
    inbox.put(Lost(at, None, aside.first_lost, aside.last_lost, aside.lost, aside.text, STORE_SET_ASIDE))
    return f"store_set_aside: {aside.text}"
