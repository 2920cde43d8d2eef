"""Attacks on a running daemon: death at named points, hostile names and hostile brokers."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import pytest
from peers import Daemon, Listener, station_toml, wait_for
from watched_folder import seqs_without_gap, watched, write_tiles

from inspector.drawn.tiles import draw_tile

pytestmark = [pytest.mark.real, pytest.mark.timeout(90)]

MakeDaemon = Callable[..., Daemon]


def assert_each_once(listener: Listener, names: list[str]) -> None:
    """One frame message per file, every finding under one id, `seq` without a hole."""
    assert Counter(message["frame"]["source_key"] for message in listener.of("frame")) == Counter(names)
    findings = Counter((d["frame"]["source_key"], d["label"], *d["box_px"].values()) for d in listener.of("defect"))
    assert set(findings.values()) == {1}
    assert seqs_without_gap(listener)


@pytest.mark.parametrize("point", ["commit.inside:2", "done.before:6", "cursor.before:2"])
def test_death_at_a_named_point_loses_and_repeats_nothing(
    tmp_path: Path, listener: Listener, make_daemon: MakeDaemon, point: str
) -> None:
    """Killed at the point and started again: each file gives exactly one frame message, under one id."""
    folder, source = watched(tmp_path)
    names = write_tiles(folder, 24)
    daemon = make_daemon(source)
    daemon.start(INSPECTOR_CRASH_AT=point)
    assert daemon.wait() == -signal.SIGKILL
    daemon.start()
    listener.wait(lambda: len(listener.of("frame")) >= len(names), "all frames")

    assert daemon.stop() == 0
    assert_each_once(listener, names)


def test_hostile_file_names_are_inspected_like_others(
    tmp_path: Path, listener: Listener, make_daemon: MakeDaemon
) -> None:
    """Line breaks, quotes, markup, bytes that are no UTF-8: one frame message each, and the page still opens."""
    folder, source = watched(tmp_path)
    daemon = make_daemon(source)
    daemon.start()
    daemon.started()
    picture = cv2.imencode(".png", draw_tile("scratches", 1))[1].tobytes()
    names = [b"a\nb.png", b"q'\"<b>.png", b"\xff\xfe.png", "\U0001f600.png".encode(), b" sp .PNG", b"a\x1b.png"]
    for name in names:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(picture)
    listener.wait(lambda: len(listener.of("frame")) >= len(names), "a frame message for each name")

    assert len({message["frame"]["source_key"] for message in listener.of("frame")}) == len(names)
    assert b"<b>.png" not in daemon.get("/")
    assert daemon.stop() == 0


@pytest.fixture
def dumb_broker(request: pytest.FixtureRequest) -> Iterator[int]:
    """A server that accepts and then never answers, or closes at once; gives its port."""
    kept: list[socket.socket] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                peer, _ = server.accept()
            except OSError:
                return
            if request.param == "closes":
                peer.close()
            else:
                kept.append(peer)

    thread = threading.Thread(target=serve)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    thread.join()
    for held in (server, *kept):
        held.close()


@pytest.mark.parametrize("dumb_broker", ["never answers", "closes"], indirect=True)
def test_a_broker_that_does_not_answer_holds_up_neither_inspection_nor_stop(tmp_path: Path, dumb_broker: int) -> None:
    """Health says `degraded`, the messages wait, and SIGTERM ends it with 0."""
    folder, source = watched(tmp_path)
    daemon = Daemon(tmp_path, station_toml(tmp_path, dumb_broker, source))
    daemon.start()
    try:
        write_tiles(folder, 6)
        wait_for(lambda: daemon.metrics()['inspector_frames_total{outcome="inspected"}'] == 6, "six inspected files")
        wait_for(lambda: b'"state":"degraded","reason":"broker' in daemon.get("/healthz"), "degraded health")
        wait_for(lambda: daemon.metrics()['inspector_outbox_messages{sink="mqtt"}'] >= 6, "messages that wait")
        assert daemon.stop() == 0
    finally:
        daemon.end()
