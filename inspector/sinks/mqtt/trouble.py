"""What is wrong with a broker although it is connected. Health reports one sentence: the most serious trouble.

It decides nothing about messages: `window` does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from inspector.sinks.mqtt.options import BrokerStatus, MqttOptions
from inspector.sinks.mqtt.window import QUOTA_EXCEEDED

MANY_LOSSES = 4
LOSSES_WITHIN_S = 60.0
"""A connection that is lost so often within this time is unstable."""

_log = structlog.get_logger("mqtt")


@dataclass(frozen=True, slots=True)
class Trouble:
    """All present troubles, each a sentence or None; the order of the fields is their priority.

    Attributes:
        mute: The broker acknowledges nothing, or has not come back since.
        held: The broker refuses everything, or takes no more for now.
        denied: By topic: the broker refuses it.
        unstable: The connection is lost again and again.
    """

    mute: str | None = None
    held: str | None = None
    denied: Mapping[str, str] = field(default_factory=dict)
    unstable: str | None = None

    @property
    def reason(self) -> str | None:
        """The most serious of them."""
        return self.mute or self.held or next(iter(self.denied.values()), None) or self.unstable


class TroubleReport:
    """Keeps the present troubles, logs each when it begins, and shows the most serious in the status.

    Args:
        options: The broker, for the texts.
        status: What health reads.

    Attributes:
        trouble: All present troubles.
    """

    def __init__(self, options: MqttOptions, status: BrokerStatus) -> None:
        self._options = options
        self._status = status
        self._mute_since_s = 0.0
        self._lost_s: deque[float] = deque(maxlen=MANY_LOSSES)
        self.trouble = Trouble()

    def _show(self, trouble: Trouble) -> None:
        self.trouble, self._status.trouble = trouble, trouble.reason

    def failed(self, reason: str) -> None:
        """Note that a connection failed, or could not be made."""
        if reason != self.trouble.mute:
            if self.trouble.mute is not None:  # the outage goes on: without a gap in which health says that all is well
                self._show(replace(self.trouble, mute=reason))
            if reason != self._status.reason:
                _log.warning("broker_unavailable", broker=self._options.address, reason=reason)
        self._status.reason = reason

    def lost(self, now_s: float) -> None:
        """Note that a connection is lost; many losses are mostly caused by another client with the same id."""
        self._lost_s.append(now_s)
        unstable = None
        if len(self._lost_s) == MANY_LOSSES and now_s - self._lost_s[0] < LOSSES_WITHIN_S:
            unstable = (
                f"the connection is lost again and again: does another station use the topics {self._options.root}"
                f" or the client id {self._options.client_id}?"
            )
            _log.warning("connection_unstable", losses=MANY_LOSSES, within_s=LOSSES_WITHIN_S, reason=unstable)
        self._show(replace(self.trouble, unstable=unstable))

    def lasts(self, connected_s: float) -> None:
        """Note that the connection has held for `connected_s` seconds."""
        if self.trouble.unstable and connected_s > LOSSES_WITHIN_S:
            self._show(replace(self.trouble, unstable=None))

    def mute(self, since_s: float, now_s: float, in_flight: int) -> str:
        """Note that the broker acknowledges nothing, and return its text; connections in between do not count."""
        first = self.trouble.mute is None
        if first:
            self._mute_since_s = since_s
        mute = f"the broker is connected and acknowledges nothing for {now_s - self._mute_since_s:.0f} s"
        if first:
            _log.warning("broker_mute", broker=self._options.address, in_flight=in_flight, reason=mute)
        self._show(replace(self.trouble, mute=mute))
        return mute

    def answered(self, first_accepted: bool) -> None:
        """Note that the broker answered, perhaps for the first time with a success."""
        trouble = replace(self.trouble, mute=None)
        self._show(replace(trouble, held=None) if first_accepted else trouble)

    def held(self, code: Any) -> None:
        """Note that the broker refuses everything, or asks us to wait: its configuration is wrong, not a message."""
        if self.trouble.held is not None:
            return
        whole = code.value != QUOTA_EXCEEDED
        held = (
            f"the broker refuses every topic below {self._options.root}: {code}"
            if whole
            else f"the broker takes no more messages for now: {code}"
        )
        _log.warning("everything_refused" if whole else "quota_exceeded", root=self._options.root,
                     username=self._options.username, reason=str(code))  # fmt: skip
        self._show(replace(self.trouble, held=held))

    def denied(self, topic: str, code: Any) -> None:
        """Note that the broker refuses a topic."""
        denied = {**self.trouble.denied, topic: f"the broker refuses the topic {topic}: {code}"}
        self._show(replace(self.trouble, denied=denied))

    def too_long(self, topic: str, size: int) -> None:
        """Note that a message was set aside for its size."""
        if topic not in self.trouble.denied:
            _log.warning("message_too_long", topic=topic, bytes=size)
        denied = {**self.trouble.denied, topic: f"the broker does not take messages of {size} bytes on {topic}"}
        self._show(replace(self.trouble, denied=denied))

    def arrived(self, topic: str) -> None:
        """Note that a message on this topic has arrived."""
        denied = {other: why for other, why in self.trouble.denied.items() if other != topic}
        self._show(replace(self.trouble, held=None, denied=denied))
