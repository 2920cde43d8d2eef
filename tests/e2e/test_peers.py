"""What others read of a running station: Prometheus its metrics, a consumer its schemas; and replays of its frames."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from peers import PROGRAM, Daemon, Listener, free_port, wait_for
from prometheus_client import CollectorRegistry
from watched_folder import watched, write_pictures

from inspector.commands.replay import replay_path
from inspector.messages import MESSAGE_TYPES, schema_file
from inspector.telemetry.metrics import Metrics

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

MakeDaemon = Callable[..., Daemon]
SCHEMAS = Path(__file__).parents[2] / "inspector" / "schemas"


def metric_names() -> list[str]:
    """Every name of the table, as Prometheus knows it."""
    metrics = Metrics(CollectorRegistry(), ("scratches",), {"scratches": "minor"})
    names = {sample.name for metric in metrics.registry.collect() for sample in metric.samples}
    return sorted(name for name in names if not name.endswith(("_sum", "_count")))


@pytest.mark.data
def test_prometheus_answers_a_query_for_every_metric(
    tmp_path: Path, neu_pictures: dict[str, Path], listener: Listener, make_daemon: MakeDaemon
) -> None:
    """A real Prometheus scrapes the daemon and has a value for each metric of the table."""
    if (program := shutil.which("prometheus")) is None:
        pytest.skip("prometheus is not installed: sudo apt-get install prometheus")
    folder, source = watched(tmp_path)
    daemon = make_daemon(source)
    daemon.start()
    write_pictures(dict(list(neu_pictures.items())[::20]), folder)
    listener.wait(lambda: listener.count("frame") >= 18, "frame messages")
    port = free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\nscrape_configs: [{job_name: inspector, static_configs: [{targets: "
        f'["127.0.0.1:{daemon.started()["http"]}"]}}]}}]\n'
    )
    server = subprocess.Popen(
        [program, f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}",
         f"--web.listen-address=127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def query(expression: str) -> list[Any]:
        url = f"http://127.0.0.1:{port}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return list(json.load(answer)["data"]["result"])
        except OSError:
            return []

    try:
        wait_for(lambda: query('inspector_frames_total{outcome="inspected"} > 0'), "the first scrape")
        missing = [name for name in metric_names() if not query(name)]
    finally:
        server.kill()
        server.wait()
    assert missing == []
    assert daemon.stop() == 0


@pytest.mark.data
def test_every_message_holds_its_schema(
    tmp_path: Path, neu_pictures: dict[str, Path], listener: Listener, make_daemon: MakeDaemon
) -> None:
    """All payloads of a run, retained ones too, validate; `status` alone is a bare word."""
    folder, source = watched(tmp_path)
    daemon = make_daemon(source)
    daemon.start()
    write_pictures(dict(list(neu_pictures.items())[::40]), folder)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    listener.wait(lambda: listener.count("frame") >= 10, "frame messages")
    assert daemon.stop() == 0
    listener.wait(lambda: listener.messages[-1][1] == b"stopped", "the last word")

    seen = set()
    for topic, payload in listener.messages:
        kind = topic.rpartition("/")[2]
        seen.add(kind)
        if kind == "status":
            assert payload in {b"online", b"stopped"}
        else:
            schema = json.loads((SCHEMAS / schema_file(kind)).read_text())
            Draft202012Validator(schema).validate(json.loads(payload))
    assert seen >= {"status", "about", "health", "frame", "defect", "alarm", "mark"}
    assert seen - {"status"} <= set(MESSAGE_TYPES)
    broken = [frame for frame in listener.of("frame") if frame["frame"]["source_key"] == "broken.jpg"]
    assert [(frame["verdict"], frame["reason"]) for frame in broken] == [("not_inspected", "unreadable")]


@pytest.mark.data
def test_replays_are_byte_identical(tmp_path: Path, neu_pictures: dict[str, Path], make_daemon: MakeDaemon) -> None:
    """Twice in one process, and once in a new one: the same bytes; and the daemon's findings."""
    folder, source = watched(tmp_path)
    write_pictures(dict(list(neu_pictures.items())[::12]), folder)
    daemon = make_daemon(source)
    outputs = [tmp_path / f"{number}.jsonl" for number in range(3)]
    for output in outputs[:2]:
        replay_path(folder, daemon.config, output)
    arguments = ["replay", str(folder), "--config", str(daemon.config), "--output", str(outputs[2])]
    subprocess.run([*PROGRAM, *arguments], check=True, capture_output=True)

    first = outputs[0].read_bytes()
    assert len(first.splitlines()) >= 60
    assert [first] * 3 == [output.read_bytes() for output in outputs]


@pytest.mark.data
def test_the_coil_that_runs_is_named_in_every_message(
    tmp_path: Path, neu_pictures: dict[str, Path], listener: Listener, make_daemon: MakeDaemon
) -> None:
    """`cmd/coil` starts a coil; messages carry it over a restart, until the plant ends it; nonsense is refused."""
    folder, source = watched(tmp_path)
    pictures = list(neu_pictures.values())
    daemon = make_daemon(source)
    daemon.start()
    root = "inspector/test/line/cam"
    listener.wait(lambda: listener.count("coil") >= 1, "the retained state")

    def say(payload: str) -> None:
        replies = listener.count("reply")
        listener.publish(f"{root}/cmd/coil", payload)
        listener.wait(lambda: listener.count("reply") > replies, "the reply")

    say('{"coil_id": "C-7"}')
    say('{"coil": "C-8"}')
    shutil.copyfile(pictures[0], folder / "one.jpg")
    listener.wait(lambda: len(listener.of("frame")) == 1, "the first frame")
    assert daemon.stop() == 0
    daemon.start()
    shutil.copyfile(pictures[1], folder / "two.jpg")
    listener.wait(lambda: len(listener.of("frame")) == 2, "the frame after the restart")
    say('{"coil_id": null}')
    shutil.copyfile(pictures[2], folder / "three.jpg")
    listener.wait(lambda: len(listener.of("frame")) == 3, "the frame after the coil")
    assert daemon.stop() == 0

    assert [frame["coil_id"] for frame in listener.of("frame")] == ["C-7", "C-7", None]
    replies = [json.loads(payload)["accepted"] for topic, payload in listener.messages if topic.endswith("/reply")]
    assert replies == [True, False, True]


@pytest.mark.data
def test_a_coil_that_is_named_while_the_station_restarts_is_not_lost(
    tmp_path: Path, neu_pictures: dict[str, Path], listener: Listener, make_daemon: MakeDaemon
) -> None:
    """The broker keeps commands for a station that is away, killed or stopped: they count at its next start, once."""
    folder, source = watched(tmp_path)
    pictures = iter(neu_pictures.values())
    daemon = make_daemon(source)
    daemon.start()
    listener.wait(lambda: listener.count("coil") >= 1, "the retained state")
    root = "inspector/test/line/cam"

    def frame_under(payload: str, retain: bool = False) -> str | None:
        """Start again after a command; the coil of the next frame."""
        frames, replies = len(listener.of("frame")), listener.count("reply")
        listener.publish(f"{root}/cmd/coil", payload, retain)
        daemon.start()
        listener.wait(lambda: listener.count("reply") > replies, "the reply")
        shutil.copyfile(next(pictures), folder / f"{frames}.jpg")
        listener.wait(lambda: len(listener.of("frame")) > frames, "the frame after it")
        return str(listener.of("frame")[-1]["coil_id"])

    daemon.kill()
    assert frame_under('{"coil_id": "C-1"}') == "C-1"
    assert daemon.stop() == 0
    assert frame_under('{"coil_id": "C-2"}', retain=True) == "C-2"
    daemon.kill()
    assert frame_under('{"coil_id": null}') == "None"
    assert daemon.stop() == 0
    daemon.start()
    shutil.copyfile(next(pictures), folder / "last.jpg")
    listener.wait(lambda: len(listener.of("frame")) == 4, "the last frame")

    assert listener.of("frame")[-1]["coil_id"] is None  # although the broker still keeps the word of C-2
    assert daemon.stop() == 0


def test_a_picture_is_classified_the_same_on_the_command_line_and_over_http(
    tmp_path: Path, make_daemon: MakeDaemon
) -> None:
    """POST /api/classify answers the row that `inspector classify` prints."""
    import cv2

    from inspector.drawn.tiles import draw_tile

    picture = tmp_path / "tile.png"
    cv2.imwrite(str(picture), draw_tile("scratches", 5))
    _, source = watched(tmp_path)
    daemon = make_daemon(source)
    daemon.start()
    printed = subprocess.run([*PROGRAM, "classify", picture], check=True, capture_output=True).stdout
    url = f"http://127.0.0.1:{daemon.started()['http']}/api/classify"
    request = urllib.request.Request(url, picture.read_bytes(), {"Content-Type": "image/png"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        answered = json.load(answer)
    assert daemon.stop() == 0

    assert {**json.loads(printed), "path": None} == {**answered, "path": None}
