"""`inspector.sinks.mqtt.unheard`: one report for many messages, and never without end."""

from __future__ import annotations

from inspector.sinks.mqtt.unheard import REPORT_S, Unheard


def test_unheard_messages_are_reported_together_and_ever_more_rarely() -> None:
    """After ten seconds, then twenty, up to an hour; at once when somebody listens again, or at the end."""
    reports: list[tuple[int, int, int]] = []
    unheard = Unheard(lambda *report: reports.append(report))
    for seq in (7, 5, 9):
        unheard.add(seq, 100.0)
    unheard.look(100.0 + REPORT_S[0] - 0.1)
    none = list(reports)
    unheard.look(100.0 + REPORT_S[0])
    unheard.add(10, 200.0)
    unheard.look(200.0 + REPORT_S[0])
    later = list(reports)
    unheard.look(200.0 + 2 * REPORT_S[0])
    unheard.add(11, 300.0)
    unheard.heard()
    unheard.heard()
    unheard.add(12, 400.0)
    unheard.look(400.0 + REPORT_S[0])
    unheard.add(13, 500.0)
    unheard.flush()

    assert (none, later) == ([], [(5, 9, 3)])
    assert reports == [(5, 9, 3), (10, 10, 1), (11, 11, 1), (12, 12, 1), (13, 13, 1)]
