"""The oracle: numbered files are fed to a station, and what was fed is known here before the station can see it.

It never asks the product. A file gets its whole content in a folder beside the watched one and is renamed into it, so
the station cannot meet half a picture, and no two files are alike, in name or in bytes.
"""

from __future__ import annotations

import functools
import threading
from pathlib import Path

import cv2

from inspector.drawn.tiles import draw_tile

LABELS = ("scratches", "patches", "crazing", "clean", "inclusion", "pitted_surface")


@functools.cache
def stock() -> tuple[bytes, ...]:
    """Return twelve good JPEG pictures of 200 x 200, with and without a defect."""
    tiles = [draw_tile(label, seed) for seed in range(2) for label in LABELS]
    return tuple(cv2.imencode(".jpg", tile, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes() for tile in tiles)


def numbered_picture(number: int) -> bytes:
    """Return a good picture whose bytes no other number has: the number is in a comment behind the first marker."""
    comment = f"{number:012}".encode()
    picture = stock()[number % len(stock())]
    return picture[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + picture[2:]


class Oracle:
    """Feeds numbered files, and knows their names.

    Attributes:
        watched: The folder that the station watches.
        done: Where it has to put what it has done.
        fed: Names in the order in which they were fed; a name is in here before its file is in the folder.
    """

    def __init__(self, folder: Path, prefix: str = "") -> None:
        self.watched = folder / "frames"
        self.done = folder / "done"
        self._beside = folder / "beside"
        self._prefix = prefix
        self.fed: list[str] = []
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        stock()  # drawing takes seconds, which are no one's pause later
        for path in (self.watched, self._beside):
            path.mkdir(parents=True, exist_ok=True)

    @property
    def source(self) -> str:
        """The lines of `[source]` for a station that watches this folder."""
        return (
            f'kind = "folder"\npath = "{self.watched}"\nfinished = "move"\nfinished_dir = "{self.done}"\n'
            f'refused = "move"\nrefused_dir = "{self.done}"'
        )

    def feed(self, content: bytes | None = None, suffix: str = ".jpg") -> str:
        """Feed one file, a good picture unless content is given; returns its name."""
        number = len(self.fed)
        name = f"{self._prefix}{number:08}{suffix}"
        path = self._beside / name
        path.write_bytes(numbered_picture(number) if content is None else content)
        self.fed.append(name)
        path.rename(self.watched / name)
        return name

    def start(self, per_s: float) -> None:
        """Feed good pictures at this rate, on a thread, until `stop`."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._go_on, args=(1 / per_s,))
        self._thread.start()

    def _go_on(self, pause_s: float) -> None:
        while not self._stopping.wait(pause_s):
            self.feed()

    def stop(self) -> None:
        """Feed no more; returns when the last file is in the folder."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
