"""`inspector.sinks.mqtt.trouble`: of several troubles the gravest is reported."""

from __future__ import annotations

import pytest

from inspector.sinks.mqtt.options import BrokerStatus, MqttOptions
from inspector.sinks.mqtt.trouble import LOSSES_WITHIN_S, MANY_LOSSES, Trouble, TroubleReport


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        pytest.param(Trouble(), None, id="none"),
        pytest.param(Trouble("mute", "held", {"defect": "denied"}, "unstable"), "mute", id="mute before all"),
        pytest.param(Trouble(None, "held", {"defect": "denied"}, "unstable"), "held", id="held before a topic"),
        pytest.param(Trouble(denied={"defect": "first", "frame": "second"}, unstable="no"), "first", id="first topic"),
        pytest.param(Trouble(unstable="unstable"), "unstable", id="unstable at last"),
    ],
)
def test_the_gravest_trouble_is_the_reason(trouble: Trouble, reason: str | None) -> None:
    """The order of the fields is their priority."""
    assert trouble.reason == reason


@pytest.mark.parametrize(
    ("apart_s", "unstable"),
    [
        pytest.param(LOSSES_WITHIN_S / MANY_LOSSES, True, id="many within a minute"),
        pytest.param(LOSSES_WITHIN_S / (MANY_LOSSES - 1), False, id="as many in more than a minute"),
    ],
)
def test_connections_that_do_not_last_are_reported(apart_s: float, unstable: bool) -> None:
    """Four losses within a minute are a trouble, until a connection has lasted for a minute."""
    status = BrokerStatus()
    report = TroubleReport(MqttOptions(root="root", client_id="id"), status)
    for number in range(MANY_LOSSES):
        report.lost(number * apart_s)
    during = status.trouble
    report.lasts(LOSSES_WITHIN_S)
    still = status.trouble
    report.lasts(LOSSES_WITHIN_S + 0.1)

    assert (during is not None, still, status.trouble) == (unstable, during, None)


def test_an_outage_that_began_with_silence_has_no_gap() -> None:
    """From a broker that says nothing to one that is away, health reports the trouble of the moment all the time."""
    status = BrokerStatus()
    report = TroubleReport(MqttOptions(root="root", client_id="id"), status)
    silent = report.mute(1000.0, 1008.0, 3)
    report.failed(silent)
    seen = [status.trouble]
    report.failed("no broker")
    seen.append(status.trouble)
    report.answered(first_accepted=True)

    assert seen == [silent, "no broker"]
    assert status.trouble is None
