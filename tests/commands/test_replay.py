"""`inspector.commands.replay`: what is read is the file that was named."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.commands.replay import items_of, replay_path
from inspector.drawn.spec import StripSpec
from inspector.drawn.strip import Strip
from inspector.settings.sections import Settings, StationNames


def settings(**source: object) -> Settings:
    station = StationNames(site="s", line="l", name="n")
    return Settings.model_validate({"station": station, "source": {"path": "x", **source}})


def test_a_video_file_named_like_a_camera_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file `0` is that file and not the machine's first camera."""
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 10, (64, 48))
    writer.write(np.full((48, 64, 3), 90, np.uint8))
    writer.release()
    (tmp_path / "a.avi").rename(tmp_path / "0")
    monkeypatch.chdir(tmp_path)

    assert len(list(items_of(Path("0"), settings(kind="camera")))) == 1


def test_a_file_of_lines_named_like_standard_input_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file `-` is that file and not standard input."""
    (tmp_path / "-").write_bytes(bytes(range(16)) * 32)
    monkeypatch.chdir(tmp_path)
    lines = settings(kind="lines", width_px=16, frame_lines=16, overlap_lines=0)

    assert len(list(items_of(Path("-"), lines))) == 2


def test_a_clean_strip_gives_an_empty_file(tmp_path: Path) -> None:
    """Nothing to say of frames that were inspected is no failure."""
    strip = Strip(StripSpec(9, defects_per_m=0)).lines(0, 800)
    (tmp_path / "clean.raw").write_bytes(strip.tobytes())
    config = tmp_path / "station.toml"
    config.write_text(
        '[station]\nsite = "s"\nline = "l"\nname = "n"\n[source]\nkind = "lines"\npath = "x"\n'
        f"width_px = {strip.shape[1]}\n"
    )

    assert replay_path(tmp_path / "clean.raw", config, tmp_path / "out.jsonl") == 0
    assert (tmp_path / "out.jsonl").read_bytes() == b""
