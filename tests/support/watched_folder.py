"""A watched folder, what is laid into it, and what must have come of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
from peers import Listener

from inspector.drawn.tiles import draw_tile

_LABELS = ("scratches", "patches", "crazing", "clean", "inclusion", "pitted_surface")


def write_pictures(pictures: dict[str, Path], folder: Path) -> None:
    for name, path in pictures.items():
        shutil.copyfile(path, folder / name)


def watched(tmp_path: Path) -> tuple[Path, str]:
    folder = tmp_path / "frames"
    folder.mkdir()
    return folder, f'kind = "folder"\npath = "{folder}"'


def seqs_without_gap(listener: Listener) -> bool:
    seqs = sorted(message["seq"] for kind in ("frame", "defect", "alarm", "coverage") for message in listener.of(kind))
    return seqs == list(range(1, len(seqs) + 1))


def write_tiles(folder: Path, count: int) -> list[str]:
    names = [f"tile{number:03}.png" for number in range(count)]
    for number, name in enumerate(names):
        cv2.imwrite(str(folder / name), draw_tile(_LABELS[number % len(_LABELS)], number))
    return names
