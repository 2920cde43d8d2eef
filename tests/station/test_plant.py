"""`inspector.station.plant`: every command of the table is answered, made durable and put in its place, or refused."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fakes import FakeClock

from inspector.command_table import COMMANDS, DEFAULT_COMMANDS
from inspector.items import CoilChange, Command
from inspector.messages import ReplyMessage, encode
from inspector.station.inbox import Inbox
from inspector.station.plant import Plant
from inspector.store.store import Store


@dataclass
class Bench:
    """A plant on a real store, and what came of its commands."""

    store: Store
    inbox: Inbox
    plant: Plant
    resent: list[int] = field(default_factory=list)

    def coils(self) -> list[str | None]:
        return [word.coil_id for word in self.inbox.take(math.inf) if isinstance(word, CoilChange)]

    def ask(self, name: str, payload: str, retained: bool = False) -> ReplyMessage:
        reply = self.plant.execute(name, payload.encode(), retained)
        assert reply is not None
        return reply


@pytest.fixture
def bench(tmp_path: Path, clock: FakeClock) -> Iterator[Bench]:
    with closing(Store(tmp_path, clock)) as store:
        inbox = Inbox(clock)
        resent: list[int] = []

        def resend(from_seq: int) -> str:
            resent.append(from_seq)
            return f"from {from_seq}"

        yield Bench(store, inbox, Plant(store, inbox, clock, resend), resent)


def test_each_row_of_the_table_is_carried_out(bench: Bench) -> None:
    """Every command of the table has a handler, and an example that it takes; what is recorded is what was asked."""
    examples = {
        "coil": '{"coil_id": "C-7"}',
        "teach": '{"minutes": 5}',
        "resend": '{"from_seq": 12, "request_id": "r1"}',
    }
    replies = [bench.ask(name, examples[name]) for name in COMMANDS]
    recorded = [(word.name, word.payload) for word in bench.inbox.take(math.inf) if isinstance(word, Command)]

    assert [(reply.command, reply.ok, reply.accepted, reply.error) for reply in replies] == [
        (name, True, True, None) for name in COMMANDS
    ]
    assert recorded == [
        ("coil", '{"coil_id":"C-7","request_id":null}'),
        (
            "teach",
            '{"accept":false,"action":"start","false_calls_per_km":null,"minutes":5.0,"person":null,"request_id":null}',
        ),
        ("resend", '{"from_seq":12,"request_id":"r1"}'),
    ]
    assert (bench.resent, bench.store.coils.current()[0]) == ([12], "C-7")
    assert DEFAULT_COMMANDS == ("coil",)


@pytest.mark.parametrize(
    ("name", "payload", "error", "detail"),
    [
        ("coil", "", "invalid", "Invalid JSON"),
        ("coil", "{}", "invalid", "coil_id: Field required"),
        ("coil", '{"coil_id": 7}', "invalid", "coil_id"),
        ("coil", '{"coil_id": ""}', "invalid", "at least 1 character"),
        ("coil", '{"coil_id": "a\\u0000b"}', "invalid", "pattern"),
        ("coil", '{"coil_id": "' + "x" * 65 + '"}', "invalid", "at most 64 characters"),
        ("coil", '{"coil_id": "A", "coil": "B"}', "invalid", "coil: Extra inputs"),
        ("coil", '{"coil_id": "' + "x" * 5000 + '"}', "invalid", "longer than 4096 bytes: 5015"),
        ("coil", "[" * 2000, "invalid", "not understood"),
        ("resend", '{"from_seq": 0}', "invalid", "from_seq"),
        ("resend", '{"from_seq": 1e300}', "invalid", "from_seq"),
        ("resend", '{"from_seq": -99999999999999999999}', "invalid", "from_seq"),
        ("halt", "{}", "unknown", "no command of this name (coil, teach, resend): 'halt'"),
        ("x" * 300, "{}", "unknown", "no command"),
    ],
)
def test_nonsense_is_refused_by_name(bench: Bench, name: str, payload: str, error: str, detail: str) -> None:
    """What is no command gets a reply with one word and a sentence, of bounded length, and changes nothing."""
    reply = bench.ask(name, payload)

    assert (reply.ok, reply.accepted, reply.error) == (False, False, error)
    assert detail in reply.detail
    assert len(encode(reply)) < 1000
    assert (len(bench.inbox), bench.store.coils.current()[0]) == (0, None)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ('{"coil_id": "A", "request_id": "7"}', "7"),
        ('{"coil": "A", "request_id": "7"}', "7"),
        ('{"coil": "A", "request_id": 7}', None),
        ("{", None),
    ],
)
def test_a_reply_says_what_it_answers(bench: Bench, payload: str, expected: str | None) -> None:
    """The sender's own name for a command is in the reply, also where the command is refused."""
    assert json.loads(encode(bench.ask("coil", payload)))["request_id"] == expected


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b'\xef\xbb\xbf{"coil_id": "C-7"}', id="a byte order mark"),
        pytest.param(b'{"coil_id": "C-7"}\0', id="a NUL at the end"),
        pytest.param(b'\xef\xbb\xbf {"coil_id": "C-7"} \0\0\r\n', id="all of it"),
    ],
)
def test_what_a_plc_puts_around_a_command_does_not_count(bench: Bench, payload: bytes) -> None:
    """A string of fixed length is the command that is in it; kept by the broker, it counts once."""
    reply = bench.plant.execute("coil", payload, True)
    again = bench.plant.execute("coil", b'{"coil_id": "C-7"}', True)

    assert reply is not None
    assert (reply.ok, bench.coils(), again) == (True, ["C-7"], None)


def test_a_coil_that_runs_is_not_changed_again(bench: Bench) -> None:
    """The same coil said twice is one change."""
    bench.ask("coil", '{"coil_id": "A"}')
    bench.ask("coil", '{"coil_id": "A"}')
    bench.ask("coil", '{"coil_id": null}')

    assert bench.coils() == ["A", None]


def test_what_the_broker_kept_counts_once(bench: Bench) -> None:
    """A coil that ended does not come back because the broker still has the word of its beginning."""
    first = '{"coil_id": "A"}'
    bench.ask("coil", first)
    bench.ask("coil", '{"coil_id": null}')

    assert bench.plant.execute("coil", first.encode(), retained=True) is None
    assert bench.store.coils.current()[0] is None
    assert bench.ask("coil", '{"coil_id": "B"}', retained=True).ok
    assert bench.ask("coil", first).ok
    assert bench.coils() == ["A", None, "B", "A"]
