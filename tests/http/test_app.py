"""What each address answers: metrics, health, evidence and defects."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote

import pytest
from bench import NO_SUCH_ID, Bench, ask, still
from fakes import inspected, make_defect, track_rules
from peers import wait_for
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from inspector.drafts import Draft
from inspector.http.app import MAX_DEFECTS
from inspector.store.entries import Entry
from inspector.store.evidence import EvidenceFolder
from inspector.store.store import Store
from inspector.telemetry.health import State
from inspector.track.state import TrackState
from inspector.track.track import track


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


def test_health_that_is_old_is_unhealthy(bench: Bench) -> None:
    """When whoever judges health hangs, `/healthz` answers 503 and the metric says blind: asking renews nothing."""
    app = bench.app()
    bench.health.update("ok", None)
    bench.metrics.show_health("ok", None)
    bench.clock.advance(15.1)
    answer = ask(app, "/healthz")
    ask(app, "/metrics")

    assert answer.status_code == 503
    assert answer.json()["reason"].startswith("unjudged: ")
    assert bench.registry.get_sample_value("inspector_health_state", {"state": "ok"}) == 0
    assert bench.registry.get_sample_value("inspector_health_state", {"state": "blind"}) == 1


def test_healthz_answers_head(bench: Bench) -> None:
    """A load balancer may ask for the head alone."""
    assert ask(bench.app(), "/healthz", "HEAD").status_code == 200


def test_evidence_is_the_stored_picture(bench: Bench) -> None:
    """A defect's picture is served as it was written; the address with its hash may be kept for ever, the plain not."""
    [defect_id] = bench.find(still(), "crack")
    app, [message] = bench.app(), bench.store.reader.recent_defects(1)

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


def test_defects_are_the_stored_messages(bench: Bench) -> None:
    """`/api/defects` gives the messages as published, the newest first."""
    for number in range(3):
        bench.find(still(number), "crack")

    rows = ask(bench.app(), "/api/defects").json()

    assert rows == bench.store.reader.recent_defects(10)
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

    assert seen == [row["id"] for row in bench.store.reader.recent_defects(100)]


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


def test_a_page_waits_for_no_commit(bench: Bench) -> None:
    """While the station is inside a transaction, for however long, page and defects are answered."""
    bench.find(still(), "rust")
    app, inside, leave = bench.app(), threading.Event(), threading.Event()

    def write() -> None:
        with bench.store.database.transaction():
            inside.set()
            leave.wait(60)

    with ThreadPoolExecutor(2) as threads:
        writing = threads.submit(write)
        inside.wait(60)
        try:
            page, defects = (threads.submit(ask, app, path).result(timeout=20) for path in ("/", "/api/defects"))
        finally:
            leave.set()
        writing.result(timeout=60)

    assert (page.status_code, [row["label"] for row in defects.json()]) == (200, ["rust"])


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


def test_an_application_that_is_served_no_more_is_forgotten(bench: Bench) -> None:
    """FastAPI's caches outlive it; after a reload they must not hold the previous station, or each one would leak."""

    def serve() -> list[weakref.ref[object]]:
        app = bench.app()
        answers = [ask(app, path).status_code for path in ("/", "/healthz", "/metrics", "/api/defects")]
        assert answers == [200] * 4
        return [weakref.ref(app), weakref.ref(app.state.pages), weakref.ref(app.state.classifier)]

    gone = serve()

    def is_gone() -> bool:  # the thread that made the last page lets go of it a moment after its answer
        gc.collect()
        return [reference() for reference in gone] == [None, None, None]

    assert wait_for(is_gone, "the application is forgotten")
