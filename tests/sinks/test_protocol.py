"""`inspector.sinks.mqtt.protocol`: which version of MQTT is spoken, by what the broker answered before."""

from __future__ import annotations

from typing import Literal

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from inspector.sinks.mqtt.options import MqttOptions
from inspector.sinks.mqtt.protocol import ProtocolChoice

NAMES = {MQTTProtocolVersion.MQTTv5: "5", MQTTProtocolVersion.MQTTv311: "3.1.1"}


@pytest.mark.parametrize(
    ("protocol", "answers", "tried"),
    [
        pytest.param("auto", ["accepts"], ["5"], id="it speaks 5"),
        pytest.param("auto", ["refuses", "accepts"], ["5", "3.1.1"], id="it refuses 5 by its name"),
        pytest.param("auto", ["closes", "closes", "accepts"], ["5", "3.1.1", "5"], id="a broker that starts"),
        pytest.param(
            "auto", ["closes", "accepts", "accepts"], ["5", "3.1.1", "5"], id="3.1.1 after a close: 5 once more"
        ),
        pytest.param(
            "auto",
            ["closes", "accepts", "closes", "accepts", "accepts"],
            ["5", "3.1.1", "5", "3.1.1", "3.1.1"],
            id="closed again: it does not speak 5",
        ),
        pytest.param("5", ["refuses", "closes", "accepts"], ["5", "5", "5"], id="configured: 5"),
        pytest.param("3.1.1", ["closes", "accepts", "accepts"], ["3.1.1"] * 3, id="configured: 3.1.1"),
    ],
)
def test_mqtt_5_is_given_up_only_where_the_broker_does_not_speak_it(
    protocol: Literal["auto", "5", "3.1.1"], answers: list[str], tried: list[str]
) -> None:
    """3.1.1 says less: a connection that is only closed must be confirmed, a refusal of the version need not."""
    choice, seen = ProtocolChoice(MqttOptions(root="root", client_id="id", protocol=protocol)), []
    for answer in answers:
        version = choice.version()
        seen.append(NAMES[version])
        if answer == "accepts":
            choice.accepts(version)
        else:
            choice.refused(version, answer, by_name=answer == "refuses")

    assert seen == tried
