"""What the stations of an operator's area tell each other, over the broker: one retained topic for each station.

`inspector/areas/AREA/site/line/name` is beside the roots of the stations: an access list has to allow it, too. Here it
is published when it changes, and once a minute; what others publish is handed on. `track` decides what it means.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog

from inspector.json_text import parse_json
from inspector.messages import AreaMessage, encode
from inspector.sinks.mqtt.connection import Arrived, Connection
from inspector.sinks.mqtt.window import FAILURE

AREAS = "inspector/areas"
REPEAT_S = 60.0
"""Who is silent for longer than two of these is taken for away."""
MAX_WORD_BYTES = 65_536
"""A longer message of another station is refused unread: one with the alarms of a busy hour has 30,000."""
LOOK_S = 0.2
"""Whether there is something new to say is looked up this often."""

_log = structlog.get_logger("mqtt")


class AreaPort:
    """The area's topics over one connection after the other.

    Args:
        area: Its name.
        station: site/line/name.
        report: Returns what to tell the others, as of now.
        heard: Given what another station says.
        linked: Told when the others can be heard, and when not any more.
    """

    def __init__(
        self,
        area: str,
        station: str,
        report: Callable[[], AreaMessage],
        heard: Callable[[AreaMessage], None],
        linked: Callable[[bool], None],
    ) -> None:
        self._area = area
        self._topic = f"{AREAS}/{area}/{station}"
        self._station = station
        self._report = report
        self._heard = heard
        self._linked = linked
        self._is_linked = False
        self._subscription: int | None = None
        self._packet: int | None = None
        self._said: dict[str, Any] = {}
        self._said_s = self._looked_s = 0.0
        self._refused = False

    def open(self, connection: Connection) -> None:
        """Begin a connection: ask for what the others say."""
        self._said = {}
        self._packet = None
        self._subscription = connection.subscribe_full(f"{AREAS}/{self._area}/#")

    def close(self) -> None:
        """A connection has ended: nobody can be heard."""
        self._subscription = None
        self._link(False)

    def refresh(self, connection: Connection, now_s: float) -> None:
        """Publish what is to be told, if it changed, and once a minute."""
        if now_s - self._looked_s < LOOK_S:
            return
        self._looked_s = now_s
        message = self._report()
        said = message.model_dump(exclude={"at"})
        if said != self._said or now_s - self._said_s >= REPEAT_S:
            self._packet = connection.publish_full(self._topic, encode(message))
            self._said, self._said_s = said, now_s

    def take_answer(self, kind: str, packet_id: int, answer: Any) -> bool:
        """Take the answer to a packet; returns whether it was one of the area's."""
        if kind == "suback" and packet_id == self._subscription:
            allowed = not any(code.is_failure for code in answer)
            if not allowed:
                mend = f"allow this station to read {AREAS}/{self._area}/#"
                _log.warning("area_not_readable", topic=f"{AREAS}/{self._area}/#", mend=mend)
            self._link(allowed)
            return True
        if kind == "puback" and packet_id == self._packet:
            if answer.value >= FAILURE and not self._refused:
                self._refused = True
                _log.warning("area_not_writable", topic=self._topic, reason=str(answer))
            return True
        return False

    def take_message(self, topic: str, arrived: Arrived) -> bool:
        """Take a message of another station; returns whether the topic is one of the area's."""
        if not topic.startswith(f"{AREAS}/{self._area}/"):
            return False
        if topic == self._topic or not arrived.payload:
            return True
        try:
            if len(arrived.payload) > MAX_WORD_BYTES:
                raise ValueError(f"longer than {MAX_WORD_BYTES} bytes: {len(arrived.payload)}")
            message = AreaMessage.model_validate(parse_json(arrived.payload))
            if topic != f"{AREAS}/{message.area}/{message.station}":
                raise ValueError(f"it is about {message.station} in {message.area}")
            self._heard(message)
        except ValueError as exc:
            _log.warning("area_word_refused", topic=topic, reason=str(exc)[:200])
        return True

    def _link(self, linked: bool) -> None:
        if linked != self._is_linked:
            self._is_linked = linked
            self._linked(linked)
