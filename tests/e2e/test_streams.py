"""The same pictures as a video file, as lines and from an RTSP camera: the same findings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from peers import PROGRAM, Daemon, Listener, free_port

pytestmark = [pytest.mark.real, pytest.mark.data, pytest.mark.timeout(120)]

MakeDaemon = Callable[..., Daemon]
RTSP_SERVER = Path(__file__).parents[1] / "support" / "rtsp_server.py"


@pytest.fixture
def ffmpeg() -> str:
    """FFmpeg's program."""
    if (program := shutil.which("ffmpeg")) is None:
        pytest.skip("ffmpeg is not installed: sudo apt-get install ffmpeg")
    return program


def numbered_copies(pictures: list[Path], folder: Path) -> Path:
    folder.mkdir()
    for number, picture in enumerate(pictures):
        shutil.copyfile(picture, folder / f"{number:05d}.jpg")
    return folder


def findings(listener: Listener, station: str) -> list[tuple[Any, ...]]:
    """Return the defects in order, without what must differ: ids, times, numbers."""
    return [
        (d["frame"]["frame_id"], d["label"], d["score"], *d["box_px"].values(), d["tiles"], d["severity"])
        for d in sorted(listener.of("defect"), key=lambda d: d["seq"])
        if d["station"] == station
    ]


def test_a_video_and_its_lines_give_the_same_defects(
    tmp_path: Path, neu_pictures: dict[str, Path], listener: Listener, make_daemon: MakeDaemon, ffmpeg: str
) -> None:
    """A lossless video as a file, and the same pixels as raw lines through a FIFO: the same defects exactly."""
    pictures = list(neu_pictures.values())[::9]
    copies = numbered_copies(pictures, tmp_path / "copies")
    video = tmp_path / "strip.mkv"
    quiet = [ffmpeg, "-v", "error", "-y"]
    subprocess.run(
        [*quiet, "-framerate", "25", "-i", copies / "%05d.jpg", "-c:v", "ffv1", "-pix_fmt", "gray", video], check=True
    )
    fifo = tmp_path / "strip.fifo"
    os.mkfifo(fifo)
    common = "independent = true"
    as_file = make_daemon(f'kind = "camera"\npath = "{video}"\n{common}', name="file")
    as_lines = make_daemon(
        f'kind = "lines"\npath = "{fifo}"\nwidth_px = 200\nframe_lines = 200\noverlap_lines = 0\n{common}', name="lines"
    )
    as_lines.config.write_text(as_lines.config.read_text().replace('name = "cam"', 'name = "lines"'))
    for daemon in (as_file, as_lines):
        daemon.start()
    subprocess.run([*quiet, "-i", video, "-f", "rawvideo", "-pix_fmt", "gray", fifo], check=True)
    listener.wait(lambda: listener.count("frame") >= 2 * len(pictures), "every frame, twice")
    for daemon in (as_file, as_lines):
        assert daemon.stop() == 0

    found = findings(listener, "test/line/cam")
    assert len(found) >= 0.9 * len(pictures)
    assert found == findings(listener, "test/line/lines")


def test_an_rtsp_camera_shows_what_the_pictures_are(
    tmp_path: Path, neu_pictures: dict[str, Path], listener: Listener, make_daemon: MakeDaemon
) -> None:
    """Each picture, shown for a second by a real RTSP server as H.264, has the label that it has as a file."""
    system_python = "/usr/bin/python3"
    probe = "import gi; gi.require_version('GstRtspServer', '1.0')"
    if subprocess.run([system_python, "-c", probe], capture_output=True, check=False).returncode:
        pytest.skip("no RTSP server: sudo apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-*")
    rows = subprocess.run([*PROGRAM, "classify", *neu_pictures.values()], check=True, capture_output=True).stdout
    best: dict[str, tuple[float, Path]] = {}
    for row in map(json.loads, rows.splitlines()):
        path = Path(row["path"])
        if row["label"] == path.name.rpartition("_")[0]:
            best[row["label"]] = max(best.get(row["label"], (0.0, path)), (row["score"], path))
    labels = sorted(best)
    assert len(labels) == 6
    copies = numbered_copies([best[label][1] for label in labels for _ in range(10)], tmp_path / "copies")
    port = free_port()
    server = subprocess.Popen(
        [system_python, RTSP_SERVER, str(port), copies, "h264", "10"], stdout=subprocess.PIPE, stderr=sys.stderr
    )
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == b"listening\n"
        daemon = make_daemon(f'kind = "camera"\npath = "rtsp://127.0.0.1:{port}/cam"\nindependent = true')
        daemon.start()

        def shown() -> list[str]:
            frames = sorted(listener.of("frame"), key=lambda frame: frame["seq"])
            return [label for label, _ in groupby(frame["label"] or frame["verdict"] for frame in frames)]

        listener.wait(lambda: len(shown()) >= 7, "every picture once", timeout_s=45)
        assert daemon.stop() == 0
    finally:
        server.kill()
        server.wait()
        if server.stdout is not None:
            server.stdout.close()

    seen = shown()[:6]
    start = labels.index(seen[0])
    assert labels[start:] + labels[:start] == seen
