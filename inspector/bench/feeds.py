"""What feeds a measured station: frames of one kind of source, at a rate or as fast as they are taken."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from inspector.bench.peers import Seen
from inspector.box import Box
from inspector.drawn.spec import StripSpec
from inspector.drawn.strip import Strip
from inspector.errors import ConfigError, WorkerError
from inspector.frame import Pixels
from inspector.pictures.decode import decode_picture
from inspector.pictures.limits import MAX_FRAME_PX

WIDTH_PX, MM_PER_PX, DEFECTS_PER_M, SEED = 2000, 0.5, 0.5, 7
FRAME_LINES, OVERLAP_LINES = 400, 100
STILL_LINES = 1600
PICTURES, JPEG_QUALITY = 12, 90
AHEAD = 64
"""Files that wait in the folder at most while the station is fed as fast as it takes them."""

RTSP_SERVER = """
import sys, gi
gi.require_version("Gst", "1.0"); gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
port, folder, last, fps = sys.argv[1:]
Gst.init(None)
server = GstRtspServer.RTSPServer(); server.set_address("127.0.0.1"); server.set_service(port)
factory = GstRtspServer.RTSPMediaFactory(); factory.set_shared(True)
factory.set_launch(
    f"( multifilesrc location={folder}/%05d.jpg start-index=0 stop-index={last} loop=true "
    f"caps=image/jpeg,framerate={fps}/10 ! jpegdec ! videoconvert ! video/x-raw,format=I420 ! identity sync=true ! "
    "jpegenc quality=90 ! rtpjpegpay name=pay0 pt=26 )")
server.get_mount_points().add_factory("/cam", factory)
if not server.attach(None):
    sys.exit(f"port in use: {port}")
print("listening", flush=True)
GLib.MainLoop().run()
"""
"""An RTSP camera of JPEG pictures, by the system's Python: GStreamer's bindings are no wheel. It takes some of the
cores itself, as nothing paces pictures that are not decoded."""


def draw_strip(lines: int) -> Pixels:
    """Return the first lines of a drawn strip, (lines, `WIDTH_PX`) uint8; one defect shows each two metres."""
    return Strip(StripSpec(SEED, WIDTH_PX, MM_PER_PX, DEFECTS_PER_M)).region(Box(0, 0, WIDTH_PX, lines))


class Feed:
    """One kind of source, in a folder of its own.

    Attributes:
        source: Its section of the configuration.
        decode_s: What decoding a frame takes one core, seconds; 0 where nothing is decoded.
    """

    decode_s = 0.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = ""
        self._due_s: dict[int | str, float] = {}

    def command(self, config: Path, rate: float) -> Sequence[str | Path]:
        """Return what runs the station, after the interpreter."""
        return ("-m", "inspector", "run", "--config", config)

    def feed(self, rate: float, seconds: float, stop: threading.Event) -> float:
        """Feed frames for so long at this rate, as fast as they are taken if it is 0; returns how many were due."""
        stop.wait(seconds)
        return rate * seconds

    def latency_s(self, seen: Seen) -> float | None:
        """Return the time from the moment at which a frame was due to the arrival of its message."""
        return seen.arrived_s - seen.captured_s

    def close(self) -> None:
        """Take down what was built."""


class MemoryFeed(Feed):
    """Frames from the station's own memory, as from a camera that costs nothing."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        step = FRAME_LINES - OVERLAP_LINES
        strip = draw_strip(PICTURES * step + OVERLAP_LINES)
        self._frames = folder / "frames.npy"
        np.save(self._frames, np.stack([strip[n * step : n * step + FRAME_LINES] for n in range(PICTURES)]))
        self.source = 'kind = "demo"'

    def command(self, config: Path, rate: float) -> Sequence[str | Path]:
        """Return what runs the station with its source replaced."""
        return ("-m", "inspector.bench.memory", config, self._frames, str(rate))


class LinesFeed(Feed):
    """Raw lines through a FIFO."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._fifo = folder / "lines"
        os.mkfifo(self._fifo)
        step = FRAME_LINES - OVERLAP_LINES
        strip = draw_strip(PICTURES * step)
        self._pieces = [strip[n * step : (n + 1) * step].tobytes() for n in range(PICTURES)]
        self.source = (
            f'kind = "lines"\npath = "{self._fifo}"\nwidth_px = {WIDTH_PX}\n'
            f"frame_lines = {FRAME_LINES}\noverlap_lines = {OVERLAP_LINES}"
        )

    def feed(self, rate: float, seconds: float, stop: threading.Event) -> float:
        """Write lines; a frame is due when its last line is."""
        self._due_s.clear()
        with self._fifo.open("wb", buffering=0) as fifo:
            begun_s, number = time.monotonic(), 0
            while not stop.is_set() and time.monotonic() - begun_s < seconds:
                due_s = begun_s + number / rate if rate else time.monotonic()
                if stop.wait(max(0.0, due_s - time.monotonic())):
                    break
                if rate:
                    self._due_s[number - 1] = due_s  # the first frame also needs the overlap's lines
                piece = memoryview(self._pieces[number % PICTURES])
                while piece:
                    piece = piece[fifo.write(piece) :]
                number += 1
        return number - 1.0

    def latency_s(self, seen: Seen) -> float | None:
        """Return the time since the last line of the frame was due: lines that had to wait count."""
        due_s = self._due_s.get(seen.frame_id)
        return None if due_s is None else seen.arrived_mono_s - due_s


class FolderFeed(Feed):
    """JPEG stills that are renamed into a watched folder."""

    def __init__(self, folder: Path, lines: int = STILL_LINES, width_px: int = WIDTH_PX) -> None:
        super().__init__(folder)
        self._watched = folder / "frames"
        self._watched.mkdir()
        strip = draw_strip(PICTURES * lines)[:, :width_px]
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        stills = [strip[number * lines : (number + 1) * lines] for number in range(PICTURES)]
        self._files = [cv2.imencode(".jpg", still, quality)[1].tobytes() for still in stills]
        self.source = f'kind = "folder"\npath = "{self._watched}"\nfinished = "delete"'
        self.decode_s = _decode_s(self._files)
        self._number = 0

    def command(self, config: Path, rate: float) -> Sequence[str | Path]:
        """Return what runs the station, on a folder that is empty again."""
        for left in self._watched.iterdir():
            left.unlink()
        return super().command(config, rate)

    def feed(self, rate: float, seconds: float, stop: threading.Event) -> float:
        """Rename files into the folder; a frame is due when its file is."""
        self._due_s.clear()
        begun_s, fed = time.monotonic(), 0
        while not stop.is_set() and time.monotonic() - begun_s < seconds:
            due_s = begun_s + fed / rate if rate else time.monotonic()
            if stop.wait(max(0.0, due_s - time.monotonic())):
                break
            if not rate and fed % 8 == 0:
                while len(os.listdir(self._watched)) > AHEAD and not stop.wait(0.02):  # noqa: PTH208 - only counted
                    pass
            name = f"{self._number:08d}.jpg"
            part = self.folder / name
            part.write_bytes(self._files[self._number % PICTURES])
            self._due_s[name] = due_s
            part.rename(self._watched / name)
            self._number, fed = self._number + 1, fed + 1
        return float(fed)

    def latency_s(self, seen: Seen) -> float | None:
        """Return the time since the file was due."""
        due_s = self._due_s.get(seen.source_key or "")
        return None if due_s is None else seen.arrived_mono_s - due_s


class RtspFeed(Feed):
    """JPEG pictures by RTSP, as a network camera sends them.

    Raises:
        ConfigError: GStreamer's server is not installed.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
        probe = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
        known = self._python and subprocess.run([self._python, "-c", probe], capture_output=True, check=False)
        if not known or known.returncode:
            raise ConfigError(
                "--source rtsp needs an RTSP server: apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi"
                " gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
            )
        strip = draw_strip(PICTURES * STILL_LINES)
        files = []
        for number in range(PICTURES):
            picture = cv2.cvtColor(strip[number * STILL_LINES : (number + 1) * STILL_LINES], cv2.COLOR_GRAY2BGR)
            path = folder / f"{number:05d}.jpg"
            cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            files.append(path.read_bytes())
        self.decode_s = _decode_s(files)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])
        self.source = f'kind = "camera"\npath = "rtsp://127.0.0.1:{self._port}/cam"\nfrozen_frames = 0'
        self._server: subprocess.Popen[str] | None = None

    def command(self, config: Path, rate: float) -> Sequence[str | Path]:
        """Start the camera at this rate, and return what runs the station."""
        self.close()
        tenths = str(round(10 * (rate or 100)))
        command = [str(self._python), "-c", RTSP_SERVER, str(self._port), str(self.folder), str(PICTURES - 1), tenths]
        self._server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        if self._server.stdout is None or self._server.stdout.readline().strip() != "listening":
            raise WorkerError(f"the RTSP server does not listen on 127.0.0.1:{self._port}")
        return super().command(config, rate)

    def close(self) -> None:
        """End the camera."""
        if self._server is not None:
            with ExitStack() as stack:
                if self._server.stdout is not None:
                    stack.callback(self._server.stdout.close)
                self._server.kill()
                self._server.wait()
            self._server = None


def _decode_s(files: Sequence[bytes]) -> float:
    """Return what decoding one of these takes this thread, seconds; the least of three rounds."""

    def decode() -> float:
        begun_s = time.thread_time()
        for file in files:
            decode_picture(file, name="bench", max_px=MAX_FRAME_PX)
        return (time.thread_time() - begun_s) / len(files)

    return min(decode() for _ in range(3))


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of source that can be measured.

    Attributes:
        opened: Makes its feed in a folder.
        paced: The feed waits where the station does; otherwise the camera goes on, and what is not taken is dropped.
    """

    opened: Callable[[Path], Feed]
    paced: bool


KINDS = {
    "memory": Kind(MemoryFeed, False),
    "lines": Kind(LinesFeed, True),
    "folder": Kind(FolderFeed, True),
    "rtsp": Kind(RtspFeed, False),
}
