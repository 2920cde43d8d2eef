"""A picture to classify: what is taken, what is refused, and what stops in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from bench import Bench, ask, picture

from inspector.errors import ConfigError, WorkerError
from inspector.frame import Pixels
from inspector.http.upload import MAX_UPLOADS


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
