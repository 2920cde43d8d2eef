"""`inspector.telemetry.kernel_clock`: what the kernel says of the clock, and when that endangers the records."""

from __future__ import annotations

import pytest

from inspector.telemetry.health import Facts, HealthLimits, judge_health
from inspector.telemetry.kernel_clock import KernelClock, Timex, read_kernel_clock


def asked(code: int, **fields: int) -> KernelClock:
    def answer(found: Timex) -> int:
        for name, value in fields.items():
            setattr(found, name, value)
        return code

    return read_kernel_clock(answer)


@pytest.mark.parametrize(
    ("clock", "expected", "reason"),
    [
        pytest.param(asked(0, offset=-1500, esterror=900), KernelClock("synchronized", -1.5, 0.9), None, id="µs"),
        pytest.param(
            asked(0, offset=2_500_000, status=0x2001), KernelClock("synchronized", 2.5, 0.0), None, id="nanoseconds"
        ),
        pytest.param(
            asked(0, offset=499_000, esterror=1_300_000), KernelClock("synchronized", 499.0, 1300.0),
            "clock: off by up to 1.3 s, as the kernel says", id="too far",
        ),
        pytest.param(asked(5, esterror=16_000_000, status=0x40), KernelClock("unsynchronized"), None, id="nobody's"),
    ],
)  # fmt: skip
def test_what_the_kernel_says(clock: KernelClock, expected: KernelClock, reason: str | None) -> None:
    """A clock that nothing disciplines has no known offset, and is no reason for an alarm on a line without NTP."""
    assert (clock, clock.reason) == (expected, reason)


def test_a_sandbox_that_forbids_the_call() -> None:
    """Nothing is claimed."""

    def refuse(_: Timex) -> int:
        raise PermissionError(1, "Operation not permitted")

    assert read_kernel_clock(refuse) == KernelClock("unknown")


def test_this_machine_answers() -> None:
    """The structure is as large as the kernel's: the call fills it and changes nothing."""
    assert read_kernel_clock().state in ("synchronized", "unsynchronized", "unknown")


def test_a_clock_that_is_off_degrades() -> None:
    """The station inspects on; its times may no longer go with the plant's."""
    facts = Facts(started=True, live=True, clock_reason="clock: off by up to 1.3 s, as the kernel says")

    assert judge_health(facts, HealthLimits()) == ("degraded", facts.clock_reason)
