"""What a broker can take: by its CONNACK, and by the connections that it closed.

A broker that closes the connection over a message would do so every time: the message is sent alone, and if connection
after connection ends over it, it is set aside, and all messages of its size with it. No socket here, and no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PACKET_TOO_LARGE = 0x95
_BLAMELESS = frozenset({0x8B, 0x8D, 0x8E, 0x93, 0x98, 0x9C, 0x9D, 0x9F, 0xA0})
"""Reasons to close a connection that no single message causes: shutdown, keepalive, take-over, rate limits, moves."""
MAX_DROPS = 5
"""Connections that may end while one message is alone under way, before it counts as the cause."""
OVERHEAD_BYTES = 96
"""Most bytes of a PUBLISH besides topic and payload: header, packet id, content type, one user property."""


@dataclass(frozen=True, slots=True)
class PeerLimits:
    """What the broker said when it accepted the connection (MQTT 5, section 3.2.2.3).

    Attributes:
        in_flight: Publications that may be unacknowledged at once.
        packet_bytes: Longest packet that it takes; None: any.
        qos: Highest quality of service.
        retains: Whether it keeps retained messages.
    """

    in_flight: int = 65535
    packet_bytes: int | None = None
    qos: int = 2
    retains: bool = True

    @classmethod
    def of(cls, properties: Any) -> PeerLimits:
        """Return the limits in the properties of a CONNACK, or the standard's defaults where it has none."""
        return cls(
            getattr(properties, "ReceiveMaximum", 65535),
            getattr(properties, "MaximumPacketSize", None),
            getattr(properties, "MaximumQoS", 2),
            bool(getattr(properties, "RetainAvailable", 1)),
        )


def packet_bytes(root: str, topic: str, payload: bytes) -> int:
    """Return the greatest length of the PUBLISH of a message."""
    return len(root.encode()) + 1 + len(topic) + len(payload) + OVERHEAD_BYTES


class SizeLesson:
    """Learns over which messages a broker closes the connection.

    Attributes:
        alone: Messages are sent one at a time, until all that were under way at the last drop have arrived.
    """

    def __init__(self) -> None:
        self.alone = False
        self._alone_until_seq = 0
        self._seq = 0
        self._drops = 0
        self._fits_bytes = 0
        self._too_long_bytes: int | None = None

    def is_too_long(self, size: int, limits: PeerLimits) -> bool:
        """Say whether a message of this size is not worth a try."""
        most = limits.packet_bytes
        learned = self._too_long_bytes
        return (most is not None and size > most) or (learned is not None and size >= learned)

    def arrived(self, seq: int, size: int) -> None:
        """A message of this size was taken."""
        self.alone = self.alone and seq < self._alone_until_seq
        if seq >= self._seq:
            self._seq = self._drops = 0
        self._fits_bytes = max(self._fits_bytes, size)
        if self._too_long_bytes is not None and size >= self._too_long_bytes:
            self._too_long_bytes = None  # the broker takes more than before

    def dropped(self, code: int, under_way: list[tuple[int, int]], accepted: bool) -> bool:
        """Take the end of a connection into account.

        Args:
            code: Reason of the DISCONNECT; 0 without one.
            under_way: `seq` and size of each message that was not acknowledged.
            accepted: Whether the broker had acknowledged anything on this connection.

        Returns:
            Whether the one message that was under way is the cause, and must be set aside.
        """
        if not under_way or code in _BLAMELESS or not (accepted or code == PACKET_TOO_LARGE):
            return False
        self.alone = True
        self._alone_until_seq = max(self._alone_until_seq, *(seq for seq, _ in under_way))
        if len(under_way) > 1:
            return False
        seq, size = under_way[0]
        self._drops = self._drops + 1 if seq == self._seq else 1
        self._seq = seq
        if code != PACKET_TOO_LARGE and self._drops < MAX_DROPS:
            return False
        if code == PACKET_TOO_LARGE or size > self._fits_bytes:
            self._too_long_bytes = min(size, self._too_long_bytes or size)
        self._seq = self._drops = 0
        return True

    def forget(self) -> None:
        """Try everything again; done once a day."""
        self._too_long_bytes = None
