"""`inspector.messages` and `inspector.clock`: what leaves the station, byte for byte."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from fakes import NOON, inspected, make_defect, make_frame, make_gap, still, track_all, track_rules
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ValidationError
from strategies import moments

import inspector.messages
from inspector.box import Box
from inspector.clock import SystemClock, to_rfc3339, to_timestamp_ms
from inspector.drafts import Draft, numbered
from inspector.frame import Cause
from inspector.ids import Ids
from inspector.items import Lost
from inspector.json_text import canonical_json, parse_json
from inspector.messages import (
    MESSAGE_TYPES,
    AboutMessage,
    AreaMessage,
    CoilMessage,
    Evidence,
    HealthMessage,
    HeartbeatMessage,
    MarkMessage,
    PeriodicMessage,
    ReplyMessage,
    encode,
    schema_file,
    schema_name,
    topic_of,
)
from inspector.schema_files import CLOSED, schema_files, write_schemas
from inspector.track.bodies import coverage_body, lost_body
from inspector.track.state import TrackState
from inspector.track.track import Item

SHIPPED = Path(inspector.messages.__file__).parent / "schemas"


VERSION_1 = {
    "about-1.json": "a9a90294548e",
    "alarm-1.json": "92051bfce975",
    "coil-1.json": "91cd2271630d",
    "coverage-1.json": "503cec514d7d",
    "defect-1.json": "bb4941c35093",
    "frame-1.json": "8cd4f1b69f5b",
    "health-1.json": "c1332c406db0",
    "mark-1.json": "1932e939ef72",
    "reply-1.json": "100306b89c27",
}
"""Schemas that messages of stores and logs hold for good, by the start of their sha256."""


def examples() -> dict[str, list[Any]]:
    """Messages of every kind as the station makes them, by topic."""
    rules = track_rules(alarm_limit=1, mm_per_px=0.5, scale_source="card")
    items: list[Item] = [
        still(0, "crack", "hole"),
        still(1),
        still(2, "crack"),
        make_gap(Cause.BLANK, 3, identity="x", frame_id=3),
    ]
    _, bodies = track_all([*items, still(4000, "crack")], rules)
    marks = [inspected(make_frame(n, first_line=n * 1500), make_defect("rust", Box(9, 10, 20, 20))) for n in range(8)]
    bodies += [body for body in track_all(marks, rules)[1] if isinstance(body, PeriodicMessage)]
    bodies.append(
        coverage_body(make_gap(until_s=3.0, frames=7, detail="too slow"), TrackState(coil_id="coil-7"), rules)
    )
    bodies.append(lost_body(Lost(NOON, "mqtt", 4, 9, 6, "the outbox is full"), TrackState(), rules))
    by_topic: dict[str, list[Any]] = {}
    for number, body in enumerate(bodies):
        stored = numbered(Draft(body), str(uuid.uuid4()), number + 1, Evidence(sha256="ab", url="/evidence/x.jpg"))
        by_topic.setdefault(topic_of(stored), []).append(stored)
    moment = to_rfc3339(NOON)
    by_topic["health"] = [
        HealthMessage(station="a/b/c", state="blind", reason="store: full", since=moment, valid_until=moment),
        HealthMessage(station="a/b/c", state="ok", reason=None, since=moment, valid_until=moment),
    ]
    by_topic["coil"] = [
        CoilMessage(station="a/b/c", coil_id="C-1234", since=moment, report=None),
        CoilMessage(station="a/b/c", coil_id=None, since=moment, report=None),
    ]
    by_topic["reply"] = [
        ReplyMessage(command="coil", ok=False, error="invalid", accepted=False, detail="not understood")
    ]
    by_topic["mark"] = [MarkMessage(store_id="x", seq=3)]
    by_topic["heartbeat"] = [HeartbeatMessage(at=to_rfc3339(NOON), state="ok", beat=7)]
    by_topic["area"] = [
        AreaMessage(station="a/b/c", area="hall", at=to_rfc3339(NOON), alarms=to_rfc3339(NOON), summary=None,
                    summary_at=None, held=0, wanted=1)
    ]  # fmt: skip
    by_topic["about"] = [
        AboutMessage(
            station="a/b/c", version="0.1.0", runtime="ai_edge_litert", golden="exact", bundle="b", bundle_sha256="00",
            config="c", source="folder", store_id="x", started_at=moment, clock="unknown", schemas="inspector/frame/2",
        )
    ]  # fmt: skip
    return by_topic


EXAMPLES = examples()
ALL = [body for bodies in EXAMPLES.values() for body in bodies]


def test_every_kind_has_an_example() -> None:
    """The examples below cover every message type that there is."""
    assert set(MESSAGE_TYPES) == set(EXAMPLES)


def test_shipped_schemas_are_current() -> None:
    """The schema files in the package are what the declared types give, and those of version 1, which never change."""
    shipped = {path.name: path.read_text(encoding="utf-8") for path in SHIPPED.glob("*.json")}
    first = {name: hashlib.sha256(text.encode()).hexdigest()[:12] for name, text in shipped.items()}

    assert {name: first[name] for name in VERSION_1} == VERSION_1
    assert {
        name: text for name, text in shipped.items() if name not in {*VERSION_1} - {"mark-1.json"}
    } == schema_files()


def test_schemas_can_be_written(tmp_path: Path) -> None:
    """`python -m inspector.schema_files` writes the same files again."""
    write_schemas(tmp_path)

    assert schema_files() == {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}


@pytest.mark.parametrize("topic", sorted(MESSAGE_TYPES))
def test_messages_hold_their_schema(topic: str) -> None:
    """What is sent on a topic is valid by the schema that is shipped for it, and the schema itself is one."""
    schema = json.loads((SHIPPED / schema_file(topic)).read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)

    assert [
        error.message for body in EXAMPLES[topic] for error in validator.iter_errors(json.loads(encode(body)))
    ] == []


@pytest.mark.parametrize("topic", sorted(MESSAGE_TYPES))
def test_a_missing_key_is_no_message_and_a_new_one_is_no_fault(topic: str) -> None:
    """Every key is always there: the schema refuses a message with one less. A later release may send one more."""
    validator = Draft202012Validator(json.loads((SHIPPED / schema_file(topic)).read_text(encoding="utf-8")))
    whole = json.loads(encode(EXAMPLES[topic][0]))

    assert [
        key for key in whole if validator.is_valid({other: value for other, value in whole.items() if other != key})
    ] == []
    assert validator.is_valid({**whole, "tomorrow": 1}) is (schema_file(topic) not in CLOSED)


def depth(value: Any) -> int:
    return 1 + max(map(depth, value.values()), default=0) if isinstance(value, dict) else 0


@pytest.mark.parametrize("body", ALL, ids=topic_of)
def test_messages_are_flat(body: Any) -> None:
    """A message has at most one level of nesting and no arrays anywhere."""
    values = json.loads(encode(body))

    assert depth(values) <= 2
    assert "[" not in re.sub(r'"(\\.|[^"\\])*"', '""', encode(body).decode())


def schema_nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for child in value.values():
            yield from schema_nodes(child)
    elif isinstance(value, list):
        for child in value:
            yield from schema_nodes(child)


@pytest.mark.parametrize("topic", sorted(MESSAGE_TYPES))
def test_no_schema_allows_an_array(topic: str) -> None:
    """No key of any message may ever hold an array."""
    schema = json.loads(schema_files()[schema_file(topic)])

    assert [node for node in schema_nodes(schema) if node.get("type") == "array"] == []


@pytest.mark.parametrize("topic", sorted(MESSAGE_TYPES))
def test_the_schema_is_named_in_the_message(topic: str) -> None:
    """`schema` says which version of which schema a message holds."""
    assert {schema_name(topic)} == {json.loads(encode(body))["schema"] for body in EXAMPLES[topic]}


@pytest.mark.parametrize("body", ALL, ids=topic_of)
def test_encoding_is_canonical_and_can_be_read_back(body: BaseModel) -> None:
    """Text has sorted keys, no spaces, UTF-8; reading it gives the same message, and writing that the same bytes."""
    data = encode(body)  # type: ignore[arg-type]
    values = json.loads(data)

    assert json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() == data
    assert body == type(body).model_validate(values)
    assert data == encode(type(body).model_validate(values))  # type: ignore[arg-type]


def test_text_stays_readable() -> None:
    """Names in any script are written as they are, not as escapes."""
    assert '{"coil":"Überzug 7"}'.encode() == canonical_json({"coil": "Überzug 7"})
    assert canonical_json({"coil": "\ud800"}) == b'{"coil":"?"}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_json_cannot_hold_is_refused(value: float) -> None:
    """NaN and infinities never leave the station."""
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"score": value})


def test_a_message_needs_every_key() -> None:
    """A message cannot be made without one of its keys, or with a wrong one."""
    with pytest.raises(ValidationError):
        MarkMessage(store_id="x")  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        MarkMessage(store_id="x", seq=-1)


def test_numbering_changes_nothing_else() -> None:
    """The store adds its id, the number, and the evidence of a defect; everything else stays."""
    defect = EXAMPLES["defect"][0]
    again = numbered(Draft(defect), "store", 77)
    changed = {key for key, value in again.model_dump().items() if value != defect.model_dump()[key]}

    assert {"store_id", "seq"} == changed
    assert (again.store_id, again.seq) == ("store", 77)


def test_ids_name_what_they_are_given() -> None:
    """The same parts at the same station give the same id in every release; others give another."""
    ids = Ids("inspector/site/line/cam")

    assert ids.of("defect", "a", 1) == Ids("inspector/site/line/cam").of("defect", "a", 1)
    assert ids.of("defect", "frame-0", 0) == "716b3ae5-ee33-54e4-ace9-c138315c05c0"
    assert len({ids.of("a", 1), ids.of("a", 2), ids.of("a1"), ids.of("a", "1", ""), Ids("other").of("a", 1)}) == 5


@given(st.lists(st.text(st.characters(exclude_characters="\x1f", exclude_categories=["Cs"])), max_size=4))
def test_ids_are_uuids_of_version_5(parts: list[str]) -> None:
    """Any parts give a name-based UUID in its usual form."""
    made = Ids("root").of(*parts)

    assert (5, made) == (uuid.UUID(made).version, str(uuid.UUID(made)))


@given(moments)
def test_both_forms_of_a_moment_agree(moment: datetime) -> None:
    """Text and milliseconds are the same moment, cut off alike, to the last microsecond."""
    text, milliseconds = to_rfc3339(moment), to_timestamp_ms(moment)
    read = datetime.fromisoformat(text)

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    assert timedelta(milliseconds=milliseconds) == read - datetime(1970, 1, 1, tzinfo=UTC)
    assert timedelta(0) <= moment - read < timedelta(milliseconds=1)


def test_moments_are_told_in_utc() -> None:
    """A moment with another offset is the same moment in UTC."""
    moment = datetime(2026, 3, 1, 14, 30, tzinfo=timezone(timedelta(hours=2)))

    assert to_rfc3339(moment) == "2026-03-01T12:30:00.000Z"


def test_the_machines_clock_is_in_utc_and_never_goes_back() -> None:
    """The system clock gives moments with a time zone, and a monotonic time."""
    clock = SystemClock()
    before = clock.monotonic()

    assert timedelta(0) == clock.now().utcoffset()
    assert before <= clock.monotonic()


def test_a_defects_box_is_in_the_message() -> None:
    """Boxes come as x, y, width and height in frame pixels."""
    box = make_defect().box

    assert {"x": box.x, "y": box.y, "width": box.width, "height": box.height} == json.loads(
        encode(EXAMPLES["defect"][0])
    )["box_px"]


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff", id="no text"),
        pytest.param(b"{", id="cut"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(rb'{"a": "\ud800"}', id="half a character"),
        pytest.param(rb'{"\udfff": 1}', id="half a character as a key"),
        pytest.param(b"9" * 5000, id="5,000 digits"),
        pytest.param(b"9007199254740993", id="large"),
        pytest.param(b"-1e16", id="large and negative"),
        pytest.param(b"1e999", id="too large for a float"),
        pytest.param(b"NaN", id="no number"),
        pytest.param(b"[-Infinity]", id="no end"),
    ],
)
def test_json_that_cannot_be_used_is_one_error(payload: bytes) -> None:
    """Whatever is wrong with the JSON of somebody else is a ValueError."""
    with pytest.raises(ValueError, match=r".+"):
        parse_json(payload)
