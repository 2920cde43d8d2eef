"""The HTTP listener: what each address answers, to whom, and what it refuses; then the server that carries it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import re
import socket
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote

import cv2
import httpx
import numpy as np
import pytest
from fakes import FakeClock, inspected, make_defect, make_frame, track_rules
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from inspector.box import Box
from inspector.errors import ConfigError, WorkerError
from inspector.frame import Cause, Frame, Pixels
from inspector.http import server as server_module
from inspector.http.page import BROKER_OFF, CAUSE_TEXT, STATE_TEXT
from inspector.http.server import (
    MAX_DEFECTS,
    MAX_UPLOADS,
    SECURITY_HEADERS,
    HttpOptions,
    HttpServer,
    make_app,
    read_token,
)
from inspector.messages import DefectMessage, Draft
from inspector.store.entries import Entry
from inspector.store.evidence import EvidenceFolder
from inspector.store.store import Store
from inspector.telemetry.health import HealthBoard, State
from inspector.telemetry.metrics import Metrics
from inspector.track.rules import TrackRules
from inspector.track.state import TrackState
from inspector.track.track import track

TOKEN = "correct-horse-battery-staple"  # noqa: S105 - known to nobody but these tests
NO_SUCH_ID = "00000000-0000-5000-8000-000000000000"


@dataclass
class Bench:
    """Everything that an application shows, and ways to fill it."""

    store: Store
    evidence: EvidenceFolder | None
    clock: FakeClock
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    facts: dict[str, str | int | float | None] = field(default_factory=lambda: {"version": "1.2.3"})
    classify: Callable[[Pixels, str], dict[str, Any]] = lambda pixels, name: {"path": name, "shape": [*pixels.shape]}
    options: HttpOptions = field(default_factory=lambda: HttpOptions(port=0))

    def __post_init__(self) -> None:
        rules = track_rules()
        self.metrics = Metrics(self.registry, tuple(rules.thresholds), rules.severity)
        self.health = HealthBoard("site/line/cam", self.clock)

    def app(self, **options: Any) -> Any:
        chosen = replace(self.options, **options)
        return make_app(
            chosen, self.registry, self.store, self.evidence, self.health, lambda: self.facts, self.classify, self.clock
        )

    def find(self, frame: Frame, *labels: str, rules: TrackRules | None = None) -> list[str]:
        """Store a frame with these defects, with pictures; returns their ids."""
        defects = [make_defect(label, Box(0, 0, 32, 32 + number)) for number, label in enumerate(labels)]
        _, drafts = track(TrackState(), inspected(frame, *defects), rules or track_rules())
        kept = {}
        for draft in drafts:
            if draft.picture is not None and isinstance(draft.body, DefectMessage) and self.evidence is not None:
                kept[draft.body.id] = self.evidence.keep(draft.body.defect_id, draft.picture)
        bodies = self.store.commit([Entry(drafts, {key: value for key, value in kept.items() if value})])
        return [body.defect_id for body in bodies if isinstance(body, DefectMessage)]


@pytest.fixture
def bench(tmp_path: Path, clock: FakeClock) -> Iterator[Bench]:
    bench = Bench(
        Store(tmp_path / "store", clock), EvidenceFolder(tmp_path / "evidence", clock, 1 << 24, 1e6, 0, 320), clock
    )
    yield bench
    bench.store.close()


def ask(app: Any, path: str, method: str = "GET", **request: Any) -> httpx.Response:
    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, **request)

    return asyncio.run(go())


def picture(kind: str = ".png", side_px: int = 32) -> bytes:
    pixels = np.arange(side_px * side_px, dtype=np.uint32).reshape(side_px, side_px).astype(np.uint8)
    return bytes(cv2.imencode(kind, pixels)[1].tobytes())


def still(number: int = 0, **changes: Any) -> Frame:
    return make_frame(number, **{"independent": True, "source_key": f"{number}.png", **changes})


# --- Metrics and health -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "content_type", "parse"),
    [
        pytest.param("", "text/plain; version=0.0.4; charset=utf-8", parse_text, id="nothing asked"),
        pytest.param("*/*", "text/plain; version=0.0.4; charset=utf-8", parse_text, id="curl"),
        pytest.param(
            "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            parse_openmetrics,
            id="Prometheus",
        ),
    ],
)
def test_metrics_are_in_the_format_that_is_asked_for(
    bench: Bench, accept: str, content_type: str, parse: Callable[[str], Any]
) -> None:
    """A scraper gets the registry in its own format, and every metric of the table is in it."""
    bench.metrics.frames.labels("inspected").inc(7)

    answer = ask(bench.app(), "/metrics", headers={"Accept": accept})

    families = list(parse(answer.text))
    samples = {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}
    assert answer.headers["content-type"].startswith(content_type)
    assert samples["inspector_frames_total", "inspected"] == 7
    assert len(families) == len(list(bench.registry.collect()))


@pytest.mark.parametrize("state", get_args(State))
def test_only_blind_is_unhealthy(bench: Bench, state: State) -> None:
    """`/healthz` gives the health message, with 503 when the station is blind and 200 in every other state."""
    bench.health.update(state, "source_down: camera gone" if state == "blind" else None)

    answer = ask(bench.app(), "/healthz")

    assert answer.status_code == (503 if state == "blind" else 200)
    assert answer.json() == bench.health.message().model_dump(mode="json", by_alias=True)


def test_healthz_answers_head(bench: Bench) -> None:
    """A load balancer may ask for the head alone."""
    assert ask(bench.app(), "/healthz", "HEAD").status_code == 200


def test_the_page_has_words_for_every_state_and_cause() -> None:
    """No state of health and no cause of a gap is shown by its code name."""
    assert set(STATE_TEXT) == set(get_args(State))
    assert set(CAUSE_TEXT) == {cause.value for cause in Cause}


# --- Who may ask ------------------------------------------------------------------------------------------------------


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        pytest.param(None, 401, id="nothing"),
        pytest.param(f"Bearer {TOKEN}", 200, id="bearer"),
        pytest.param(f"bearer  {TOKEN}", 200, id="other case"),
        pytest.param(basic("anybody", TOKEN), 200, id="basic password"),
        pytest.param(basic("", TOKEN), 200, id="basic without user"),
        pytest.param(f"Bearer {TOKEN[:-1]}", 401, id="shorter"),
        pytest.param(f"Bearer {TOKEN}x", 401, id="longer"),
        pytest.param("Bearer ", 401, id="empty bearer"),
        pytest.param(basic(TOKEN, ""), 401, id="token as user"),
        pytest.param("Basic !!!", 401, id="no base64"),
        pytest.param(f"Token {TOKEN}", 401, id="unknown scheme"),
        pytest.param(TOKEN, 401, id="bare token"),
        pytest.param("Bearer \xe4\xf6\xfc", 401, id="not ASCII"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/metrics", "/api/defects"])
def test_a_token_is_asked_for(bench: Bench, path: str, authorization: str | None, status: int) -> None:
    """With a token set, nothing but the right one opens, as bearer or as the password that a browser asks for."""
    headers = {} if authorization is None else {"Authorization": authorization.encode("latin-1")}

    answer = ask(bench.app(token=TOKEN), path, headers=headers)

    assert answer.status_code == status
    if status == 401:
        assert [value.split()[0] for value in answer.headers.get_list("www-authenticate")] == ["Basic", "Bearer"]
        assert TOKEN not in answer.text


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        pytest.param("/healthz", "GET", 200, id="health is open"),
        pytest.param("//healthz", "GET", 401, id="no other spelling of it"),
        pytest.param("/healthz/", "GET", 401, id="nor this one"),
        pytest.param(f"/evidence/{NO_SUCH_ID}.jpg", "GET", 401, id="evidence"),
        pytest.param("/api/classify", "POST", 401, id="classify"),
        pytest.param("/no/such/page", "GET", 401, id="what is not there"),
    ],
)
def test_only_health_is_open(bench: Bench, path: str, method: str, status: int) -> None:
    """With a token set, only `/healthz` answers without it; not even what exists can be learned."""
    assert ask(bench.app(token=TOKEN), path, method).status_code == status


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        pytest.param("/", "GET", 200, id="page"),
        pytest.param("/metrics", "GET", 200, id="metrics"),
        pytest.param("/healthz", "GET", 200, id="health"),
        pytest.param("/api/defects", "GET", 200, id="defects"),
        pytest.param("/api/defects?limit=0", "GET", 422, id="bad query"),
        pytest.param("/api/classify", "POST", 422, id="empty picture"),
        pytest.param("/api/classify", "GET", 405, id="wrong method"),
        pytest.param("/", "POST", 405, id="the page takes nothing"),
        pytest.param("/docs", "GET", 404, id="no docs"),
        pytest.param("/redoc", "GET", 404, id="no redoc"),
        pytest.param("/openapi.json", "GET", 404, id="no description"),
        pytest.param("/ui/page.css", "GET", 404, id="no files"),
    ],
)
def test_every_answer_is_guarded(bench: Bench, path: str, method: str, status: int) -> None:
    """Every answer, refusals too, carries the security headers, and an error is JSON with a reason."""
    answer = ask(bench.app(), path, method)

    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert answer.headers["cache-control"] == "no-store"
    if status >= 400:
        assert {"error", "reason"} <= set(answer.json())


def test_a_fault_tells_nothing(bench: Bench) -> None:
    """A fault answers 500 with the security headers and without a word of what it was."""

    def burst() -> dict[str, str]:
        raise RuntimeError("inner secret")

    app = make_app(bench.options, bench.registry, bench.store, None, bench.health, burst, bench.classify, bench.clock)
    answer = ask(app, "/")

    assert answer.status_code == 500
    assert "inner secret" not in answer.text
    assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS


@pytest.mark.parametrize(
    ("host", "status"),
    [
        pytest.param("localhost:9108", 200, id="tunnel by name"),
        pytest.param("127.0.0.1:9108", 200, id="tunnel by address"),
        pytest.param("LOCALHOST", 200, id="large letters, no port"),
        pytest.param("127.8.0.1", 200, id="another loopback address"),
        pytest.param("[::1]:9108", 200, id="IPv6"),
        pytest.param("[::1]", 200, id="IPv6, no port"),
        pytest.param("line-pc:9108", 200, id="the configured address"),
        pytest.param("rebound.example:9108", 421, id="a page's own name"),
        pytest.param("127.0.0.1.rebound.example", 421, id="a name that begins like it"),
        pytest.param("localhost.rebound.example", 421, id="another one"),
        pytest.param("192.0.2.1:9108", 421, id="a foreign address"),
        pytest.param("[2001:db8::1]:9108", 421, id="a foreign IPv6 address"),
    ],
)
def test_without_a_token_only_this_machine_is_answered(bench: Bench, host: str, status: int) -> None:
    """A web page that makes its own name point to loopback reads nothing; tunnels and local scrapers do."""
    [defect_id] = bench.find(still(), "crack")
    app = bench.app(address="line-pc")

    for path in ("/", "/healthz", "/metrics", "/api/defects", f"/evidence/{defect_id}.jpg"):
        answer = ask(app, path, headers={"Host": host})
        assert answer.status_code == status
        assert status == 200 or (answer.json()["reason"], answer.json()["error"][-len(host) :]) == ("host", host)
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_with_a_token_any_name_is_answered(bench: Bench) -> None:
    """A station that asks for its token may be asked by any name: a page that turned its name here has no token."""
    answer = ask(bench.app(token=TOKEN), "/", headers={"Host": "line-pc.example", "Authorization": f"Bearer {TOKEN}"})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param(b"0123456789abcde", "too short", id="short"),
        pytest.param(b"", "one line", id="empty"),
        pytest.param(b"two words of a pass phrase", "one line", id="spaces"),
        pytest.param(b"first-line-of-two\nsecond-line-of-two\n", "one line", id="two lines"),
        pytest.param("schlüssel-für-die-station".encode(), "ASCII", id="not ASCII"),
        pytest.param(None, "No such file", id="missing"),
    ],
)
def test_a_bad_token_file_is_refused(tmp_path: Path, text: bytes | None, complaint: str) -> None:
    """The error names key and file and what is wrong, and never holds the token."""
    path = tmp_path / "token"
    if text is not None:
        path.write_bytes(text)

    with pytest.raises(ConfigError, match=complaint) as caught:
        read_token(path)

    assert str(caught.value).startswith(f"http.token_file: {path}: ")
    assert not text or text.decode().split()[0] not in str(caught.value)


def test_a_token_file_is_one_line(tmp_path: Path) -> None:
    """The end of the line does not count, and the token never shows in the options' text."""
    (tmp_path / "token").write_text(f"{TOKEN}\n")

    assert read_token(tmp_path / "token") == TOKEN
    assert TOKEN not in repr(HttpOptions(token=TOKEN))


# --- Evidence ---------------------------------------------------------------------------------------------------------


def test_evidence_is_the_stored_picture(bench: Bench) -> None:
    """A defect's picture is served as it was written; the address with its hash may be kept for ever, the plain not."""
    [defect_id] = bench.find(still(), "crack")
    app, [message] = bench.app(), bench.store.recent_defects(1)

    plain, lasting = (
        ask(app, f"/evidence/{defect_id}.jpg{end}") for end in ("", f"?v={message['evidence']['sha256']}")
    )

    assert plain.headers["content-type"] == "image/jpeg"
    assert hashlib.sha256(plain.content).hexdigest() == message["evidence"]["sha256"]
    assert plain.headers["cache-control"] == "private, no-cache"
    assert lasting.headers["cache-control"] == "private, max-age=31536000, immutable"


def test_unchanged_evidence_is_not_sent_again(bench: Bench) -> None:
    """A browser that has the picture gets 304; one that has another gets the picture."""
    [defect_id] = bench.find(still(), "crack")
    app, path = bench.app(), f"/evidence/{defect_id}.jpg"
    tag = ask(app, path).headers["etag"]

    assert ask(app, path, headers={"If-None-Match": tag}).status_code == 304
    assert ask(app, path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(f"{NO_SUCH_ID}.jpg", id="unknown"),
        pytest.param("KNOWN", id="no ending"),
        pytest.param("KNOWN.png", id="other ending"),
        pytest.param("KNOWN.jpg.jpg", id="two endings"),
        pytest.param("KNOWN.jpg%0a", id="line break"),
        pytest.param("KNOWN%00.jpg", id="NUL"),
        pytest.param("../evidence/KNOWN.jpg", id="one up"),
        pytest.param("..%2fevidence%2fKNOWN.jpg", id="one up, encoded"),
        pytest.param("%2e%2e/store/inspector.sqlite3", id="the store"),
        pytest.param("secret.jpg", id="a file that lies there"),
        pytest.param("%7bKNOWN%7d.jpg", id="braces"),
        pytest.param(".jpg", id="nothing"),
    ],
)
def test_evidence_has_no_other_address(bench: Bench, tmp_path: Path, name: str) -> None:
    """Whatever is not the UUID of a kept picture is 404."""
    [known] = bench.find(still(), "crack")
    (tmp_path / "evidence" / "secret.jpg").write_bytes(b"secret")
    bench.evidence = EvidenceFolder(tmp_path / "evidence", bench.clock, 1 << 24, 1e6, 0, 320)  # which knows it now

    statuses = []

    async def go() -> None:  # by hand, because clients tidy paths before they ask
        path = f"/evidence/{name.replace('KNOWN', known)}"
        scope = {
            "type": "http", "method": "GET", "path": unquote(path), "raw_path": path.encode(), "query_string": b"",
            "headers": [], "root_path": "", "scheme": "http", "http_version": "1.1",
        }  # fmt: skip

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            statuses.append(message.get("status"))

        await bench.app()(scope, receive, send)

    asyncio.run(go())

    assert statuses[0] == 404


def test_evidence_switched_off_is_404(bench: Bench) -> None:
    """A station that keeps no pictures has none to show."""
    bench.evidence = None

    assert ask(bench.app(), f"/evidence/{NO_SUCH_ID}.jpg").status_code == 404


# --- Defects ----------------------------------------------------------------------------------------------------------


def test_defects_are_the_stored_messages(bench: Bench) -> None:
    """`/api/defects` gives the messages as published, the newest first."""
    for number in range(3):
        bench.find(still(number), "crack")

    rows = ask(bench.app(), "/api/defects").json()

    assert rows == bench.store.recent_defects(10)
    assert [row["frame"]["source_key"] for row in rows] == ["2.png", "1.png", "0.png"]


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        pytest.param("limit=0", "limit", id="zero"),
        pytest.param("limit=-1", "limit", id="negative"),
        pytest.param(f"limit={MAX_DEFECTS + 1}", "limit", id="too many"),
        pytest.param("limit=ten", "limit", id="a word"),
        pytest.param("limit=1e3", "limit", id="no integer"),
        pytest.param("before_ms=-1", "before_ms", id="before time"),
        pytest.param(f"before_ms={1 << 70}", "before_ms", id="beyond SQLite"),
        pytest.param("before_ms=", "before_ms", id="nothing"),
    ],
)
def test_wrong_limits_are_named(bench: Bench, query: str, complaint: str) -> None:
    """A wrong query is 422 and names the parameter."""
    answer = ask(bench.app(), f"/api/defects?{query}")

    assert answer.status_code == 422
    assert answer.json()["reason"] == "query"
    assert answer.json()["error"].startswith(f"{complaint}: ")


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 100])
def test_paging_loses_nothing(bench: Bench, limit: int) -> None:
    """Going on from the last `timestamp_ms` shows every defect once, though several share a moment."""
    for number in range(4):
        bench.find(still(number), *["crack", "hole", "rust"][: number % 3 + 1])
    app, seen, before = bench.app(), list[str](), 1 << 50

    while rows := ask(app, f"/api/defects?limit={limit}&before_ms={before}").json():
        seen += [row["id"] for row in rows]
        before = rows[-1]["timestamp_ms"]

    assert seen == [row["id"] for row in bench.store.recent_defects(100)]


def test_paging_shows_all_of_one_moment(bench: Bench) -> None:
    """Copies of an archive may all have one time: more defects of it than any `limit` are in one answer."""
    drafts: list[Draft] = []
    for number in range(MAX_DEFECTS + 1):
        drafts += track(TrackState(), inspected(still(1, identity=f"{number}"), make_defect()), track_rules())[1]
    bench.store.commit([Entry(drafts, {})])
    bench.find(still(0), "hole")
    app = bench.app()

    rows = ask(app, "/api/defects?limit=10").json()

    assert len({row["id"] for row in rows}) == MAX_DEFECTS + 1
    older = ask(app, f"/api/defects?before_ms={rows[-1]['timestamp_ms']}").json()
    assert [row["label"] for row in older] == ["hole"]


def test_a_store_that_cannot_be_read_is_said(bench: Bench) -> None:
    """With the store gone, defects are 503, and the page still shows health."""
    bench.health.update("blind", "store: database disk image is malformed")
    app = bench.app()
    bench.store.close()
    try:
        defects, page = ask(app, "/api/defects"), ask(app, "/")
    finally:
        bench.store = Store(bench.store.folder, bench.clock)  # for the fixture to close

    assert (defects.status_code, defects.json()["reason"]) == (503, "store")
    assert page.status_code == 200
    assert "BLIND" in page.text
    assert "The store cannot be read at present." in page.text


# --- Classify ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        pytest.param({"content": picture()}, "picture", id="raw body"),
        pytest.param({"content": picture(".jpg"), "headers": {"Content-Type": "text/html"}}, "picture", id="any type"),
        pytest.param({"files": {"file": ("a/plate 7.png", picture())}}, "a/plate 7.png", id="form"),
        pytest.param({"files": {"x": ("b.tif", picture(".tiff"))}, "data": {"n": "1"}}, "b.tif", id="with a field"),
        pytest.param({"files": {"file": ("two\nlines\x00.png", picture())}}, None, id="odd name"),
    ],
)
def test_a_picture_is_classified(bench: Bench, request_: dict[str, Any], name: str | None) -> None:
    """A picture as the body or as a file of a form gives the row of `classify`, under the name it came with."""
    answer = ask(bench.app(), "/api/classify", "POST", **request_)

    assert answer.status_code == 200
    assert answer.json()["shape"] == [32, 32]
    assert answer.json()["path"] == name or name is None
    assert answer.json()["path"].isprintable()


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        pytest.param({"content": b""}, 422, "unreadable", id="empty"),
        pytest.param({"content": picture(".jpg")[:300]}, 422, "unreadable", id="truncated"),
        pytest.param({"content": b"GIF89a" + bytes(40)}, 415, "unsupported", id="GIF"),
        pytest.param({"content": b'{"a": 1}'}, 415, "unsupported", id="JSON"),
        pytest.param({"content": picture(side_px=65)}, 413, "too_large", id="pixels"),
        pytest.param({"content": bytes(5001)}, 413, "too_large", id="bytes"),
        pytest.param({"files": {"file": ("a.png", bytes(5001))}}, 413, "too_large", id="bytes in a form"),
        pytest.param({"files": {"file": ("a.png", bytes(100_000))}}, 413, "too_large", id="form beyond its limit"),
        pytest.param({"files": {"file": ("a.gif", b"GIF89a")}}, 415, "unsupported", id="GIF in a form"),
        pytest.param({"files": [("f", picture()), ("f", picture())]}, 422, "form", id="two files"),
        pytest.param(
            {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 422, "form", id="no boundary"
        ),
        pytest.param(
            {"content": b"--b\r\n\r\nx", "headers": {"Content-Type": "multipart/form-data; boundary=c"}},
            422, "form", id="wrong boundary",
        ),
        pytest.param(
            {
                "content": b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n',
                "headers": {"Content-Type": "multipart/form-data; boundary=b"},
            },
            422, "form", id="no file in the form",
        ),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_refused(bench: Bench, request_: dict[str, Any], status: int, reason: str) -> None:
    """A refusal says why in a word and in a sentence, and nothing is classified."""
    seen: list[str] = []

    def note(_: Pixels, name: str) -> dict[str, Any]:
        seen.append(name)
        return {}

    bench.classify = note

    answer = ask(bench.app(max_upload_bytes=5000, max_frame_px=64 * 64), "/api/classify", "POST", **request_)

    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert answer.json()["error"]
    assert not seen


def test_reading_stops_at_the_limit(bench: Bench) -> None:
    """A body without a declared length is refused as soon as it is too long, not when it is over."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1000
            yield bytes(1000)

    answer = ask(bench.app(max_upload_bytes=5000), "/api/classify", "POST", content=endless())

    assert answer.status_code == 413
    assert sent <= 7000


def test_a_declared_length_is_believed_when_it_is_too_much(bench: Bench) -> None:
    """A body that says it is too long is refused before any of it is read."""

    async def unread() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    answer = ask(
        bench.app(max_upload_bytes=5000), "/api/classify", "POST", content=unread(), headers={"Content-Length": "5001"}
    )

    assert answer.status_code == 413


def test_a_picture_that_does_not_arrive_is_given_up(bench: Bench) -> None:
    """A body that stalls is answered 408, and its place is free again."""

    async def stalled() -> AsyncIterator[bytes]:
        yield picture()[:50]
        await asyncio.Event().wait()

    app = bench.app(upload_timeout_s=0.01)
    answers = [ask(app, "/api/classify", "POST", content=stalled()) for _ in range(MAX_UPLOADS + 1)]

    assert [(answer.status_code, answer.json()["reason"]) for answer in answers] == [(408, "timeout")] * len(answers)


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        pytest.param(WorkerError("an inspection worker has died"), 503, "worker", id="worker"),
        pytest.param(ConfigError("tiling.roi_xy: outside the frame"), 422, "configuration", id="region of interest"),
        pytest.param(ZeroDivisionError(), 500, "fault", id="fault"),
    ],
)
def test_classifying_that_fails_is_answered(bench: Bench, fault: Exception, status: int, reason: str) -> None:
    """What goes wrong behind the picture has its own answer."""

    def fail(_: Pixels, __: str) -> dict[str, Any]:
        raise fault

    bench.classify = fail
    answer = ask(bench.app(), "/api/classify", "POST", content=picture())

    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


# --- The page ---------------------------------------------------------------------------------------------------------


class Seen(HTMLParser):
    """Collects tags, addresses and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


def test_the_page_needs_nothing_else(bench: Bench) -> None:
    """The page has no script, no inline style and no address off the station, and its style is the one allowed."""
    bench.find(still(), "crack", "hole")
    answer = ask(bench.app(), "/")

    seen = Seen(answer.text)
    style = answer.text.split("<style>")[1].split("</style>")[0]
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert not {"script", "iframe", "form", "object", "link"} & set(seen.tags)
    assert not [name for name, _ in seen.attributes if name == "style" or name.startswith("on")]
    assert all((value or "").startswith("/") for name, value in seen.attributes if name in ("src", "href"))
    assert f"style-src 'sha256-{allowed}'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("rules", "alarm", "why", "key"),
    [
        pytest.param({}, True, "Score 0.90 reaches the threshold 0.80 by 0.10. To", "decision.thresholds.crack",
                     id="threshold"),
        pytest.param({"mode": "observe"}, False, "this station only observes", "decision.mode", id="mode"),
        pytest.param({"alarm_min_severity": "critical"}, True, "Score 0.90 reaches", "decision.thresholds.crack",
                     id="severe enough"),
        pytest.param({"alarm_hits": 2, "alarm_window": 5}, False, "seen in 1 of the last 5 frames", "events.alarm_hits",
                     id="n of m"),
        pytest.param({"alarm_limit": 0}, False, "as many alarms for crack as may leave", "events.alarm_limit",
                     id="limit"),
    ],
)  # fmt: skip
def test_each_defect_says_why(bench: Bench, rules: dict[str, Any], alarm: bool, why: str, key: str) -> None:
    """A defect shows label, score, severity, alarm or not, the rule in plain words and the key that would change it."""
    bench.find(still(), "crack", rules=track_rules(**rules))

    text = Seen(ask(bench.app(), "/").text).text

    assert ("no alarm" in text) is not alarm
    for part in ("crack", "0.90", "critical", why, f"To change that: {key}.", "2026-03-01 12:00:00 UTC"):
        assert part in text


def test_what_comes_from_outside_is_text(bench: Bench) -> None:
    """File names, reasons, facts and queries cannot become markup."""
    evil = "<img src=x onerror=alert(1)>\"'&"
    bench.find(still(source_key=evil), "crack")
    bench.health.update("blind", f"source_down: {evil}")
    bench.facts = {evil: evil, "broker": evil}

    page = ask(bench.app(), "/")

    assert "<img src=x" not in page.text
    assert "onerror" not in dict(Seen(page.text).attributes)
    assert Seen(page.text).text.count(evil.replace("_", " ")) >= 4
    query = ask(bench.app(), "/", params={"refresh": evil})
    assert query.headers["content-type"] == "application/json"


def test_names_that_are_no_text_do_not_break_the_page(bench: Bench) -> None:
    """A path that is not UTF-8 shows with question marks instead of ending in an error."""
    bench.facts = {"source": "folder /srv/\udcff"}
    bench.health.update("degraded", "source: /srv/\udcff")

    assert ask(bench.app(), "/").status_code == 200
    assert ask(bench.app(), "/healthz").json()["reason"] == "source: /srv/?"


def test_the_page_shows_twenty_defects_once_each(bench: Bench) -> None:
    """The last twenty defects are there, the newest first; the phases of one are one, with the picture of any."""
    for number in range(25):
        bench.find(still(number), "crack")
    state, opened = track(TrackState(), inspected(make_frame(300), make_defect("hole")), track_rules())
    closed: list[Any] = []
    for number in range(301, 320):
        state, drafts = track(state, inspected(make_frame(number)), track_rules())
        closed += drafts
    assert bench.evidence is not None
    assert opened[0].picture is not None
    kept = bench.evidence.keep(opened[0].body.defect_id, opened[0].picture)  # type: ignore[union-attr]
    assert kept is not None
    bench.store.commit([Entry(opened, {opened[0].body.id: kept}), Entry(closed, {})])

    text = ask(bench.app(), "/").text

    assert {"opened", "closed"} == {row["phase"] for row in bench.store.recent_defects(2)}
    assert text.count('<li class="defect') == 20
    assert text.count("<span>hole</span>") == 1
    assert text.count(f'href="{kept.url}"') == 1
    assert text.index("<span>hole</span>") < text.index("24.png") < text.index("6.png")
    assert "5.png" not in text.replace("15.png", "")


@pytest.mark.parametrize(
    ("fact", "simulated", "banner"),
    [
        pytest.param(True, False, "SIMULATED: these pictures are generated", id="the station says so"),
        pytest.param(False, True, "Some of the defects below are SIMULATED", id="old defects only"),
        pytest.param(False, False, None, id="real"),
    ],
)
def test_simulated_pictures_are_never_taken_for_real(
    bench: Bench, fact: bool, simulated: bool, banner: str | None
) -> None:
    """A banner says that pictures were generated, be it all of them or some."""
    bench.facts["simulated"] = fact
    bench.find(still(simulated=simulated), "crack")

    text = Seen(ask(bench.app(), "/").text).text

    assert ("SIMULATED" in text) is (banner is not None)
    assert banner is None or banner in text


def test_the_page_shows_what_the_metrics_count(bench: Bench) -> None:
    """Coverage by cause, tiles, alarms, outbox and broker are the numbers of `/metrics`; blind is never clean."""
    metrics = bench.metrics
    metrics.frames.labels("inspected").inc(999_999)
    metrics.frames.labels("dropped").inc(1)
    metrics.tiles.labels("clean").inc(5_000)
    metrics.outbox_messages.set(31)
    metrics.outbox_limit.set(1 << 20)
    metrics.outbox_lost.labels("rejected").inc(2)
    metrics.last_puback.set(bench.clock.now().timestamp() - 300)

    text = Seen(ask(bench.app(), "/").text).text

    for part in ("99.99 %", "999,999 frames", "too fast for this machine", "5,000", "31 messages waiting",
                 "Broker: NOT connected", "0 bytes of 1.0 MiB", "lost, rejected", "5 min ago"):  # fmt: skip
        assert part in text


@pytest.mark.parametrize(
    ("fact", "connected", "shown"),
    [
        pytest.param(None, 0, '<p class="bad">Broker: NOT connected</p>', id="away"),
        pytest.param("away: refused", 0, '<p class="bad">Broker: away: refused</p>', id="away, with a reason"),
        pytest.param("connected, MQTT 5", 1, "<p>Broker: connected, MQTT 5</p>", id="connected"),
        pytest.param(BROKER_OFF, 0, f"<p>Broker: {BROKER_OFF}</p>", id="switched off"),
    ],
)
def test_an_absent_broker_stands_out(bench: Bench, fact: str | None, connected: int, shown: str) -> None:
    """A broker that is away is marked; one that is switched off is not."""
    bench.facts["broker"] = fact
    bench.metrics.mqtt_connected.set(connected)

    assert shown in ask(bench.app(), "/").text


def test_the_pace_is_measured_between_looks(bench: Bench) -> None:
    """The first look knows no rate; later ones show the growth of the last minute, however many look."""
    app, frames = bench.app(), bench.metrics.frames.labels("inspected")
    looks = []
    for seconds, grown in ((0, 0), (0, 0), (10, 50), (30, 0), (40, 800)):
        bench.clock.advance(seconds)
        frames.inc(grown)
        text = Seen(ask(app, "/").text).text
        found = re.search(r"([\d.]+|–) frames per second.*?(known from|over the last \d+ s)", text, re.DOTALL)
        assert found
        looks.append(found.groups())

    assert looks == [
        ("–", "known from"),
        ("–", "known from"),
        ("5.0", "over the last 10 s"),
        ("1.2", "over the last 40 s"),
        ("11.4", "over the last 70 s"),
    ]


@pytest.mark.parametrize(
    ("query", "meta"),
    [
        pytest.param("", '<meta http-equiv="refresh" content="5">', id="by itself"),
        pytest.param("?refresh=30", '<meta http-equiv="refresh" content="30">', id="slower"),
        pytest.param("?refresh=0", None, id="held"),
    ],
)
def test_the_page_refreshes_itself(bench: Bench, query: str, meta: str | None) -> None:
    """A browser asks again without script, unless it is told to hold the page."""
    text = ask(bench.app(), f"/{query}").text

    assert ("http-equiv" in text) is (meta is not None)
    assert meta is None or meta in text


# --- The server -------------------------------------------------------------------------------------------------------


@contextmanager
def serving(bench: Bench, **options: Any) -> Iterator[HttpServer]:
    server = HttpServer(bench.app(**options), replace(bench.options, **options))
    server.start()
    try:
        yield server
    finally:
        server.stop(10)


def test_a_port_is_found_and_given_back(bench: Bench) -> None:
    """Port 0 takes a free one and says which; no server name is told; after `stop` the port is free for the next."""
    with serving(bench) as server:
        answer = httpx.get(f"{server.url}healthz", headers={"Host": "localhost:1"})
        port = server.port
    assert server.failure is None
    assert answer.status_code == 200
    assert "server" not in answer.headers
    with serving(bench, port=port) as again:
        assert httpx.get(f"{again.url}metrics").status_code == 200


def test_a_request_of_http_1_0_needs_no_host(bench: Bench) -> None:
    """A simple monitor that speaks HTTP/1.0 and names no host is answered; a browser always names one."""
    with serving(bench) as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        answer = connection.recv(12)
    assert answer == b"HTTP/1.1 200"


def test_a_port_in_use_is_named(bench: Bench) -> None:
    """A second listener on one port is refused with address, port and reason."""
    with serving(bench) as server, pytest.raises(ConfigError) as caught, serving(bench, port=server.port):
        pass

    assert str(caught.value) == (
        f"http.address, http.port: 127.0.0.1 port {server.port} cannot be bound: Address already in use"
    )


@pytest.mark.parametrize(
    "address", [pytest.param("192.0.2.1", id="not ours"), pytest.param("no-such-host.invalid", id="no such name")]
)
def test_a_foreign_address_is_named(bench: Bench, address: str) -> None:
    """An address that this machine does not have is refused with its name."""
    with pytest.raises(ConfigError, match=f"{address} port 0 cannot be bound: "), serving(bench, address=address):
        pass


def test_a_crash_is_noticed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the thread ends by itself, `failure` says so; `stop` alone is no failure."""
    ended = threading.Event()

    async def burst(_: Any, __: int) -> bool:
        raise MemoryError

    with serving(bench) as server:
        assert server.failure is None
        thread = server._thread
        monkeypatch.setattr(server_module._Server, "on_tick", burst)
        assert thread is not None
        thread.join(10)
        ended.set()
    assert isinstance(server.failure, MemoryError)


def test_a_slow_picture_holds_up_nobody(bench: Bench) -> None:
    """Pictures are classified one at a time, off the event loop: health answers meanwhile, more than two are 503."""
    entered, release, inside, most = threading.Semaphore(0), threading.Event(), list[str](), list[int]()

    def slow(_: Pixels, name: str) -> dict[str, Any]:
        inside.append(name)
        most.append(len(inside))
        entered.release()
        assert release.wait(30)
        inside.remove(name)
        return {"path": name}

    bench.classify = slow
    with serving(bench) as server, ThreadPoolExecutor(8) as pool:

        def send(_: int) -> int:
            answer = httpx.post(f"{server.url}api/classify", content=picture(), timeout=30)
            if answer.status_code == 503:
                assert answer.json()["reason"] == "busy"
                refused.release()
            return answer.status_code

        refused = threading.Semaphore(0)
        answers = [pool.submit(send, number) for number in range(MAX_UPLOADS + 2)]
        assert entered.acquire(timeout=30)
        assert refused.acquire(timeout=30)
        assert refused.acquire(timeout=30)
        assert httpx.get(f"{server.url}healthz").status_code == 200
        release.set()
        assert sorted(answer.result() for answer in answers) == [200] * MAX_UPLOADS + [503] * 2
    assert set(most) == {1}


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="silent"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nX-Sl", id="in its headers"),
        pytest.param(
            b"POST /api/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\nabc", id="in its body"
        ),
    ],
)
def test_a_connection_that_stalls_is_cut(bench: Bench, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """A connection that never completes its request does not stay."""
    monkeypatch.setattr(server_module, "EXCHANGE_S", 0.05)
    with serving(bench) as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(sent)
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""


def test_huge_headers_are_refused(bench: Bench) -> None:
    """Headers beyond 16 KiB are not collected."""
    with serving(bench) as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 20_000)
        answer = connection.recv(12)
    assert answer == b"HTTP/1.1 400"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=station", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def test_tls_with_a_token(bench: Bench, certificate: tuple[Path, Path]) -> None:
    """With certificate and token, the listener speaks TLS 1.2 or newer only, and asks for the token."""
    cert, key = certificate
    trusting = ssl.create_default_context(cafile=str(cert))
    with serving(bench, cert_file=cert, key_file=key, token=TOKEN) as server:
        assert server.url == f"https://127.0.0.1:{server.port}/"
        bare = httpx.get(server.url, verify=trusting)
        right = httpx.get(server.url, verify=trusting, auth=("", TOKEN))
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{server.port}/healthz")
    assert (bare.status_code, right.status_code) == (401, 200)


@pytest.mark.parametrize(
    ("cert", "key", "complaint"),
    [
        pytest.param("missing", "key", "http.cert_file: .*missing: cannot be read", id="no certificate"),
        pytest.param("cert", "missing", "http.key_file: .*missing: cannot be read", id="no key"),
        pytest.param("junk", "key", "do not hold a certificate with its key", id="junk"),
        pytest.param("cert", "junk", "do not hold a certificate with its key", id="junk as key"),
        pytest.param("cert", "other", "do not hold a certificate with its key", id="another's key"),
        pytest.param("cert", "locked", "do not hold a certificate with its key", id="key with a pass phrase"),
    ],
)
def test_a_bad_certificate_is_named(
    bench: Bench, certificate: tuple[Path, Path], tmp_path: Path, cert: str, key: str, complaint: str
) -> None:
    """A certificate that cannot be used stops the start with key and file, and asks nobody for a pass phrase."""
    files = {"cert": certificate[0], "key": certificate[1], **{name: tmp_path / name for name in
             ("missing", "junk", "other", "locked")}}  # fmt: skip
    files["junk"].write_text("-----BEGIN NOTHING-----\n")
    for command in (
        f"ecparam -name prime256v1 -genkey -noout -out {files['other']}",
        f"ec -in {files['key']} -aes256 -passout pass:secret -out {files['locked']}",
    ):
        subprocess.run(["openssl", *command.split()], check=True, capture_output=True)

    with (
        pytest.raises(ConfigError, match=complaint),
        serving(bench, cert_file=files[cert], key_file=files[key], token=TOKEN),
    ):
        pass


def test_the_server_library_is_quiet(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    """Requests leave no line anywhere, and a fault is one event of the station's own log, not of the root logger."""
    seen: list[logging.LogRecord] = []

    class Recorder(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)

    bench.classify = lambda _, __: json.loads("no JSON")
    root, recorder = logging.getLogger(), Recorder()
    root.addHandler(recorder)
    try:
        with serving(bench) as server:
            assert httpx.get(server.url).status_code == 200
            quiet = capfd.readouterr()
            assert httpx.post(f"{server.url}api/classify", content=picture()).status_code == 500
    finally:
        root.removeHandler(recorder)

    assert quiet == ("", "")
    assert not [record for record in seen if record.name.startswith("uvicorn")]
    assert "Exception in ASGI application" in "".join(capfd.readouterr())
