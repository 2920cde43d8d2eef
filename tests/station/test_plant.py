"""`inspector.station.plant`: every command of the table is answered, made durable and put in its place, or refused."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest
from fakes import NOON, FakeClock, entry, track_rules

from inspector.command_table import COMMANDS, DEFAULT_COMMANDS, Origin
from inspector.items import Command
from inspector.messages import DefectMessage, ReplyMessage, encode
from inspector.station.inbox import Inbox
from inspector.station.known import MAX_SHELVES, Known
from inspector.station.plant import Plant
from inspector.store.store import Store
from inspector.track.operators import OperatorState, Shelf

NOBODY = "01234567-0123-5123-8123-0123456789ab"
IDS = track_rules().ids


@dataclass
class Bench:
    """A plant on a real store, and what came of its commands."""

    store: Store
    inbox: Inbox
    plant: Plant
    resent: list[int] = field(default_factory=list)
    shelves: list[Shelf] = field(default_factory=list)

    def defect_id(self) -> str:
        """The id of a defect that the store keeps."""
        [defect] = [body for body in self.store.commit([entry(0, "crack")]) if isinstance(body, DefectMessage)]
        return defect.defect_id

    def coils(self) -> list[str | None]:
        return [
            json.loads(word.payload)["coil_id"]
            for word in self.inbox.take(math.inf)
            if isinstance(word, Command) and word.name == "coil"
        ]

    def ask(self, name: str, payload: str, retained: bool = False) -> ReplyMessage:
        reply = self.plant.execute(name, payload.encode(), Origin(retained=retained))
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

        shelves: list[Shelf] = []
        known = Known(lambda: ("crack", "hole"), lambda: OperatorState(tuple(shelves)), lambda: 400.0)
        yield Bench(store, inbox, Plant(store, inbox, clock, resend, known=known, ids=IDS), resent, shelves)


def test_each_row_of_the_table_is_carried_out(bench: Bench) -> None:
    """Every command of the table has a handler, and an example that it takes; what waits for its place is durable."""
    examples = {
        "coil": '{"coil_id": "C-7"}',
        "line": '{"running": true, "speed_m_s": 2}',
        "rolls": '{"stand": "F4", "position": "top", "roll_id": "W12", "diameter_mm": 500, "elongation": 1.2}',
        "weld": '{"at_m": 12.5}',
        "ack": '{"defect_id": null}',
        "verify": f'{{"defect_id": "{bench.defect_id()}", "verdict": "false_call"}}',
        "shelve": '{"label": "crack", "from_mm": 1, "to_mm": 20, "person": "ann", "reason": "roll mark"}',
        "pause": '{"hours": 8}',
        "teach": '{"minutes": 5}',
        "section": '{"code": "S-12", "at_m": 40.5}',
        "keep": '{"coil_id": "C-7"}',
        "resend": '{"from_seq": 12, "request_id": "r1"}',
    }
    bench.store.coils.change("C-6", 1000)  # runs
    replies = [bench.ask(name, examples[name]) for name in COMMANDS]
    placed = [word for word in bench.inbox.take(math.inf) if isinstance(word, Command)]

    assert [(reply.command, reply.ok, reply.accepted, reply.error) for reply in replies] == [
        (name, True, True, None) for name in COMMANDS
    ]
    assert [word.name for word in placed] == ["coil", "line", "rolls", "weld", "ack", "verify", "shelve", "pause"]
    assert bench.store.commands.waiting() == placed
    assert json.loads(placed[6].payload) == {
        "label": "crack", "from_mm": 1.0, "to_mm": 20.0, "person": "ann", "reason": "roll mark", "hours": 1.0,
        "off": False, "request_id": None,
    }  # fmt: skip
    assert (bench.resent, bench.store.coils.named()[0]) == ([12], "C-7")
    assert DEFAULT_COMMANDS == ("coil", "line", "rolls", "weld", "ack", "verify", "section")


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
        (
            "halt",
            "{}",
            "unknown",
            f"no command of this name ({', '.join(COMMANDS)}): 'halt'",
        ),
        ("shelf", "{}", "unknown", "did you mean shelve?"),
        ("line", "{}", "invalid", "running: Field required"),
        ("line", '{"running": "yes"}', "invalid", "running: Input should be a valid boolean"),
        ("line", '{"running": 1}', "invalid", "running: Input should be a valid boolean"),
        ("line", '{"running": true, "speed_m_s": -201}', "invalid", "speed_m_s"),
        ("line", '{"running": true, "speed_m_s": NaN}', "invalid", "speed_m_s"),
        ("line", '{"running": true, "hours": 1}', "invalid", "hours: Extra inputs"),
        ("ack", "{}", "invalid", "defect_id: Field required"),
        ("ack", '{"defect_id": "7"}', "invalid", "defect_id"),
        (
            "ack",
            f'{{"defect_id": "{NOBODY}"}}',
            "unknown_defect",
            f"this station keeps no such defect (any more): {NOBODY}",
        ),
        ("verify", f'{{"defect_id": "{NOBODY}", "verdict": "unsure"}}', "unknown_defect", "no such defect"),
        ("verify", f'{{"defect_id": "{NOBODY}", "verdict": "wrong"}}', "invalid", "verdict"),
        ("verify", f'{{"defect_id": "{NOBODY}", "verdict": "reclassified"}}', "invalid", "label: what is it instead?"),
        ("verify", f'{{"defect_id": "{NOBODY}", "verdict": "reclassified", "label": "x"}}', "unknown_label", "label"),
        ("pause", '{"hours": 0}', "invalid", "hours: Input should be greater than 0"),
        ("pause", '{"hours": -3}', "invalid", "hours: Input should be greater than 0"),
        ("pause", '{"hours": 8.01}', "invalid", "hours: Input should be less than or equal to 8"),
        ("pause", '{"hours": "1"}', "invalid", "hours: Input should be a valid number"),
        ("pause", '{"until": "2020-01-01"}', "invalid", "until: Extra inputs"),
        ("pause", '{"person": ""}', "invalid", "person"),
        ("pause", '{"reason": "a\\nb"}', "invalid", "reason"),
        ("shelve", '{"label": "crak"}', "unknown_label", "did you mean crack?: 'crak'"),
        ("shelve", '{"label": "blind"}', "unknown_label", "no defect has this label (crack, hole): 'blind'"),
        ("shelve", '{"label": "insensitive"}', "unknown_label", "no defect has this label"),
        ("shelve", '{"from_mm": 10}', "invalid", "from_mm and to_mm belong together"),
        ("shelve", '{"from_mm": 10, "to_mm": 10}', "invalid", "from_mm must be less than to_mm: 10, 10"),
        ("shelve", '{"from_mm": -1, "to_mm": 10}', "invalid", "from_mm"),
        ("shelve", '{"from_mm": 500, "to_mm": 600}', "outside", "outside the strip, which shows 400 mm: 500"),
        ("coil", r'{"coil_id": "\ud800"}', "invalid", "Invalid JSON"),
        ("x" * 300, "{}", "unknown", "no command"),
    ],
)
def test_nonsense_is_refused_by_name(bench: Bench, name: str, payload: str, error: str, detail: str) -> None:
    """What is no command gets a reply with one word and a sentence, of bounded length, and changes nothing."""
    reply = bench.ask(name, payload)

    assert (reply.ok, reply.accepted, reply.error) == (False, False, error)
    assert detail in reply.detail
    assert len(encode(reply)) < 1000
    assert (len(bench.inbox), bench.store.coils.current()[0], bench.store.commands.waiting()) == (0, None, [])


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ('{"coil_id": "A", "request_id": "7"}', "7"),
        ('{"coil": "A", "request_id": "7"}', "7"),
        ('{"coil": "A", "request_id": 7}', None),
        (r'{"coil_id": "A", "request_id": "\ud800"}', None),
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
    reply = bench.plant.execute("coil", payload, Origin(retained=True))
    again = bench.plant.execute("coil", b'{"coil_id": "C-7"}', Origin(retained=True))

    assert reply is not None
    assert (reply.ok, bench.coils(), again) == (True, ["C-7"], None)


def test_a_coil_that_runs_is_not_changed_again(bench: Bench) -> None:
    """The same coil said twice is one change."""
    bench.ask("coil", '{"coil_id": "A"}')
    bench.ask("coil", '{"coil_id": "A"}')
    bench.ask("coil", '{"coil_id": null}')

    assert bench.coils() == ["A", None]


def test_what_the_plant_said_while_the_station_restarted_has_its_time(bench: Bench, clock: FakeClock) -> None:
    """A command that comes late says when it was said; not in the future, and not before yesterday."""
    now = clock.now()
    for at in (now - timedelta(minutes=3), now + timedelta(hours=1), now - timedelta(days=9)):
        bench.ask("line", json.dumps({"running": True, "speed_m_s": 1.0, "at": at.isoformat()}))
    said = [word.at - now for word in bench.inbox.take(math.inf) if isinstance(word, Command)]

    assert said == [timedelta(minutes=-3), timedelta(0), timedelta(days=-1)]


def test_an_end_for_another_coil_is_refused(bench: Bench) -> None:
    """An end that names a coil which does not run changes nothing, and the reply says which one does."""
    bench.ask("coil", '{"coil_id": "A"}')
    wrong, mixed = (
        bench.ask("coil", '{"coil_id": null, "ends": "B"}'),
        bench.ask("coil", '{"coil_id": "B", "ends": "A"}'),
    )
    right = bench.ask("coil", '{"coil_id": null, "ends": "A"}')

    assert (wrong.ok, wrong.error) == (False, "no_coil")
    assert wrong.detail == "ends: coil B does not run, A does; nothing has changed"
    assert (mixed.ok, mixed.error, right.ok, bench.coils()) == (False, "invalid", True, ["A", None])


def test_what_the_broker_kept_counts_once(bench: Bench) -> None:
    """A coil that ended does not come back because the broker still has the word of its beginning."""
    first = '{"coil_id": "A"}'
    bench.ask("coil", first)
    bench.ask("coil", '{"coil_id": null}')

    assert bench.plant.execute("coil", first.encode(), Origin(retained=True)) is None
    assert bench.store.coils.current()[0] is None
    assert bench.ask("coil", '{"coil_id": "B"}', retained=True).ok
    assert bench.ask("coil", first).ok
    assert bench.coils() == ["A", None, "B", "A"]


def test_a_flood_of_commands_is_refused_by_name_and_holds_up_no_other(bench: Bench, clock: FakeClock) -> None:
    """Of ten thousand at once a few hundred wait for their place, the rest is answered `busy`; the line is heard."""
    replies = [bench.ask("ack", '{"defect_id": null}') for _ in range(10_000)]
    line = bench.ask("line", '{"running": false}')
    clock.advance(1.0)
    later = bench.ask("ack", '{"defect_id": null}')

    assert Counter(reply.error for reply in replies) == {None: 200, "busy": 9800}
    assert (len(bench.inbox), line.ok, later.ok) == (202, True, True)
    assert replies[-1].detail == "more than 20 ack a second: send it again later"


def test_a_command_under_its_request_id_again_is_not_done_twice(bench: Bench) -> None:
    """Who got no answer asks again under the same id: the reply says when it was done, and nothing happens."""
    first, again = (bench.ask("shelve", '{"label": "crack", "request_id": "7"}') for _ in range(2))

    assert (first.detail, again.ok, len(bench.inbox)) == ("raises no alarm for 1 h: crack", True, 1)
    assert again.detail.startswith("repeated: it was carried out at ")


def test_shelves_are_bounded(bench: Bench) -> None:
    """No more than so many shelves stand beside each other; one of the same place replaces, and `off` always works."""
    bench.shelves += [Shelf("x", "crack", n, n + 1, None, None, NOON, NOON) for n in range(MAX_SHELVES)]
    one_more = bench.ask("shelve", '{"label": "hole"}')
    same = bench.ask("shelve", '{"label": "crack", "from_mm": 1, "to_mm": 2}')
    off = bench.ask("shelve", '{"off": true}')

    assert (one_more.error, same.ok, off.ok) == ("too_many", True, True)


@pytest.mark.parametrize(
    ("persons", "origin", "kept"),
    [
        ("name", Origin(), "bob"),
        ("name", Origin(person="ann"), "ann"),
        ("role", Origin(person="ann"), "operator"),
        ("off", Origin(person="ann"), None),
    ],
)
def test_of_a_person_is_kept_what_the_site_wants(
    tmp_path: Path, clock: FakeClock, persons: Literal["name", "role", "off"], origin: Origin, kept: str | None
) -> None:
    """The name, the role, or nothing reaches the store; who is known from the socket counts, whoever it says."""
    with closing(Store(tmp_path, clock)) as store:
        plant = Plant(store, Inbox(clock), clock, lambda _: "", known=Known(tuple, persons=persons))
        plant.execute("pause", b'{"person": "bob"}', origin)
        [command] = store.commands.waiting()

    assert json.loads(command.payload)["person"] == kept
