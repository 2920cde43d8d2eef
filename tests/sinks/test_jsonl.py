"""`inspector.sinks.jsonl`: what stands in its lines. That all arrives is told in the contract of sinks."""

from __future__ import annotations

import json

from inspector.sinks.jsonl import to_lines
from inspector.store.entries import OutboxRow


def test_a_line_is_topic_and_payload_as_stored() -> None:
    """`{"topic": …, "payload": …}` on one line, the payload byte for byte what MQTT publishes."""
    payload = '{"id":"a","label":"Kratzer \\"ä\\"\\n","seq":7}'.encode()
    lines = to_lines([OutboxRow(7, "defect", payload, 0), OutboxRow(8, "frame", b"{}", 0)])

    assert lines == [b'{"topic": "defect", "payload": ' + payload + b"}\n", b'{"topic": "frame", "payload": {}}\n']
    assert json.loads(lines[0])["payload"]["label"] == 'Kratzer "ä"\n'
