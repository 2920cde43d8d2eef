"""`POST /api/commands/NAME`: what comes over MQTT as `cmd/NAME`, for whoever carries the token."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from bench import TOKEN, Bench, ask
from fakes import FakeClock
from starlette.types import Message

from inspector.commands.do import ask_station, read_pairs
from inspector.errors import EXIT_FAILURE, SourceError
from inspector.http.app import make_app
from inspector.http.server import HttpServer
from inspector.items import Command
from inspector.station.inbox import Inbox
from inspector.station.plant import Plant

BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def inbox(bench: Bench, clock: FakeClock) -> Inbox:
    """Where the commands of the bench's plant go."""
    inbox = Inbox(clock)
    bench.execute = Plant(bench.store, inbox, clock, lambda from_seq: f"from {from_seq}").execute
    return inbox


@pytest.mark.parametrize(
    ("name", "payload", "status", "error"),
    [
        ("coil", b'{"coil_id": "C-7", "request_id": "r"}', 200, None),
        ("resend", b'{"from_seq": 3}', 200, None),
        ("coil", b"", 400, "invalid"),
        ("coil", b'{"coil": "C-7"}', 400, "invalid"),
        ("coil", b'{"coil_id": "' + b"x" * 100_000 + b'"}', 400, "invalid"),
        ("halt", b"{}", 404, "unknown"),
        ("..%2f..%2fetc", b"{}", 404, "unknown"),
    ],
)
def test_a_command_is_answered_by_its_reply(
    bench: Bench, inbox: Inbox, name: str, payload: bytes, status: int, error: str | None
) -> None:
    """The answer is the reply that MQTT would get, its status says the same, and every key is there."""
    answer = ask(bench.app(token=TOKEN), f"/api/commands/{name}", "POST", content=payload, headers=BEARER)

    assert answer.status_code == status
    if "%2f" not in name:
        reply = answer.json()
        assert (reply["ok"], reply["error"], reply["accepted"]) == (error is None, error, error is None)
        assert set(reply) == {"schema", "command", "ok", "error", "request_id", "accepted", "detail"}
    [(kept,)] = bench.store.database.all("SELECT count(*) FROM commands")
    assert (kept > 0) is (error is None)


@pytest.mark.parametrize("token", [None, TOKEN])
def test_no_command_without_the_token(bench: Bench, inbox: Inbox, token: str | None) -> None:
    """Also on this machine: a station without a token takes none, and says which key is missing."""
    answer = ask(bench.app(token=token), "/api/commands/coil", "POST", content=b'{"coil_id": "C-7"}')

    assert answer.status_code == (403 if token is None else 401)
    assert answer.json()["reason"] == "token"
    assert len(inbox) == 0
    if token is None:
        assert "http.token_file" in answer.json()["error"]


@pytest.mark.parametrize(
    ("name", "pairs", "expected"),
    [
        ("coil", ["coil_id=C-7"], {"coil_id": "C-7"}),
        ("coil", ["coil_id=7731"], {"coil_id": "7731"}),
        ("coil", ["coil_id=null", "request_id=5"], {"coil_id": None, "request_id": "5"}),
        ("coil", ["coil_id=a=b"], {"coil_id": "a=b"}),
        ("resend", ["from_seq=12"], {"from_seq": 12}),
        ("halt", ["x=1", "y=true", "z=text"], {"x": 1, "y": True, "z": "text"}),
        ("halt", [], {}),
    ],
)
def test_words_become_a_payload(name: str, pairs: list[str], expected: dict[str, object]) -> None:
    """`key=value` words are text where the command expects text, and JSON where not."""
    assert read_pairs(name, pairs) == expected


@pytest.mark.parametrize("pairs", [["coil_id"], ["=C-7"], ["a=1", "a=2"]])
def test_words_that_are_no_pairs_are_refused(pairs: list[str]) -> None:
    """A word without a key or a value, or a key that stands twice, is named."""
    with pytest.raises(ValueError, match=pairs[-1]):
        read_pairs("coil", pairs)


def station_file(folder: Path, port: int, token: bool = True) -> Path:
    (folder / "token").write_text(TOKEN)
    text = f'[station]\nsite = "s"\nline = "l"\nname = "n"\n[source]\nkind = "demo"\n[http]\nport = {port}\n'
    (folder / "station.toml").write_text(text + (f'token_file = "{folder / "token"}"\n' if token else ""))
    return folder / "station.toml"


def test_a_running_station_is_asked_from_the_command_line(bench: Bench, inbox: Inbox, tmp_path: Path) -> None:
    """`inspector do` finds the listener and the token in the configuration, and returns the reply."""
    options = bench.options
    server = HttpServer(make_app(type(options)(port=0, token=TOKEN), bench.shown()), options)
    server.start()
    with closing(_Stopping(server)):
        config = station_file(tmp_path, server.port)
        good = ask_station(config, "coil", {"coil_id": "C-7"})
        bad = ask_station(config, "coil", {"coil_id": 7})

    assert (good["ok"], good["detail"], bad["ok"], bad["error"]) == (True, "coil C-7", False, "invalid")
    assert [json.loads(word.payload)["coil_id"] for word in inbox.take(math.inf) if isinstance(word, Command)] == [
        "C-7"
    ]


def test_a_station_that_is_away_or_has_no_token_is_named(tmp_path: Path) -> None:
    """Nobody at the port: the address; no token and nobody behind the socket file: that it does not run, exit 1."""
    with pytest.raises(SourceError, match=r"does not answer at http://127\.0\.0\.1:1:"):
        ask_station(station_file(tmp_path, 1), "coil", {"coil_id": None})
    with pytest.raises(SourceError, match=r"does not run: nothing listens at .*commands\.sock") as refusal:
        ask_station(station_file(tmp_path, 1, token=False), "coil", {"coil_id": None})
    assert refusal.value.exit_code == EXIT_FAILURE


@pytest.mark.parametrize("path", ["/api/commands/coil", "/api/classify"])
def test_who_goes_away_in_the_middle_leaves_no_trace(bench: Bench, inbox: Inbox, path: str) -> None:
    """Half a request does nothing, and is no fault with a stack in the log."""
    parts: Iterator[Message] = iter(
        [{"type": "http.request", "body": b'{"coil_id": ', "more_body": True}, {"type": "http.disconnect"}]
    )
    answers: list[Message] = []

    async def receive() -> Message:
        return next(parts)

    async def send(message: Message) -> None:
        answers.append(message)

    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {TOKEN}".encode())]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
    asyncio.run(bench.app(token=TOKEN)(scope, receive, send))

    assert answers[0]["status"] == 400
    assert len(inbox) == 0


class _Stopping:
    def __init__(self, server: HttpServer) -> None:
        self._server = server

    def close(self) -> None:
        self._server.stop(2.0)
