"""Which version of MQTT a broker speaks, as far as its answers show it."""

from __future__ import annotations

import structlog
from paho.mqtt.enums import MQTTProtocolVersion

from inspector.sinks.mqtt.options import MqttOptions

_log = structlog.get_logger("mqtt")


class ProtocolChoice:
    """Which version of MQTT to speak, learned from what the broker answered.

    3.1.1 reports less, and a broker that starts behind a proxy closes connections of any version. So unless the broker
    refused MQTT 5 explicitly, a closed connection must be confirmed by a second one.

    Args:
        options: The broker; `protocol` may name the version.
    """

    def __init__(self, options: MqttOptions) -> None:
        self._options = options
        self._fallback = self._proved = self._v311_was_accepted = False

    def version(self) -> MQTTProtocolVersion:
        """Return the version to try next."""
        asked = self._options.protocol
        if asked == "3.1.1" or (asked == "auto" and self._fallback):
            return MQTTProtocolVersion.MQTTv311
        return MQTTProtocolVersion.MQTTv5

    def accepts(self, version: MQTTProtocolVersion) -> bool:
        """Say whether to continue with a connection of this version, or to try MQTT 5 once more."""
        if version is MQTTProtocolVersion.MQTTv5 or self._options.protocol == "3.1.1":
            self._v311_was_accepted = False
            return True
        if self._proved:
            return True
        self._fallback, self._v311_was_accepted = False, True
        return False

    def refused(self, version: MQTTProtocolVersion, why: str, by_name: bool) -> None:
        """Note that the broker refused this version.

        Args:
            version: The version that was tried.
            why: For the log.
            by_name: It refused the version explicitly, and did not only close the connection.
        """
        if self._options.protocol != "auto":
            return
        proved = by_name or self._v311_was_accepted
        self._fallback = version is MQTTProtocolVersion.MQTTv5
        self._proved = self._fallback and proved
        self._v311_was_accepted = self._v311_was_accepted and self._fallback
        if self._proved:
            _log.warning("trying_mqtt_3_1_1", broker=self._options.address, why=why)
