"""`inspector.replay`: what is read is the file that was named."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.replay import _items
from inspector.settings import Settings, Source, Station


def settings(**source: object) -> Settings:
    station = Station(site="s", line="l", name="n")
    return Settings(station=station, source=Source.model_validate({"path": "x", **source}))


def test_a_video_file_named_like_a_camera_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file `0` is that file and not the machine's first camera."""
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 10, (64, 48))
    writer.write(np.full((48, 64, 3), 90, np.uint8))
    writer.release()
    (tmp_path / "a.avi").rename(tmp_path / "0")
    monkeypatch.chdir(tmp_path)

    assert len(list(_items(Path("0"), settings(kind="camera")))) == 1


def test_a_file_of_lines_named_like_standard_input_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file `-` is that file and not standard input."""
    (tmp_path / "-").write_bytes(bytes(range(16)) * 32)
    monkeypatch.chdir(tmp_path)
    lines = settings(kind="lines", width_px=16, frame_lines=16, overlap_lines=0)

    assert len(list(_items(Path("-"), lines))) == 2
