"""The messages of recorded surfaces, byte for byte: what moves code must not move a message.

`python tests/test_digests.py` writes `tests/digests.json` anew; its diff is reviewed as behaviour. The field `config`,
which changes with every new key of the configuration, and the path of the temporary folder are left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from taught import teach

from inspector.commands.replay import replay_path
from inspector.drawn.spec import StripSpec
from inspector.drawn.strip import Strip
from inspector.drawn.tiles import draw_tile
from inspector.json_text import canonical_json
from inspector.model.bundle import DEFAULT_BUNDLE, find_bundle, load_bundle

DIGESTS = Path(__file__).with_name("digests.json")
RECORDED_S = 1_767_225_600
"""2026-01-01: the time of every recorded file, which is the time of its messages."""
STATION = '[station]\nsite = "works"\nline = "strip"\nname = "cam1"\n[mqtt]\nenabled = false\n'
STATION += '[decision]\nmode = "alarm"\n'


def write_strip(folder: Path) -> tuple[Path, str]:
    """A drawn strip as a video without losses: frames of a camera, one after the other."""
    path, strip = folder / "strip.avi", Strip(StripSpec(11, defects_per_m=3))
    lines = strip.lines(0, 12 * 500)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 10, (lines.shape[1], 500))
    for frame in range(12):
        writer.write(cv2.cvtColor(lines[frame * 500 : frame * 500 + 500], cv2.COLOR_GRAY2BGR))
    writer.release()
    return path, STATION + '[source]\nkind = "camera"\npath = "x"\n[events]\nframe_messages = true\n'


def write_lines(folder: Path) -> tuple[Path, str]:
    """A drawn strip as raw lines, some of them cut off at the end."""
    path, lines = folder / "strip.raw", Strip(StripSpec(12, defects_per_m=4)).lines(0, 7777)
    path.write_bytes(lines.tobytes() + bytes(100))
    return path, STATION + (
        f'[source]\nkind = "lines"\npath = "x"\nwidth_px = {lines.shape[1]}\nmm_per_px = 0.5\nframe_lines = 512\n'
        "overlap_lines = 64\n[events]\nalarm_hits = 1\nalarm_window = 3\nalarm_limit = 4\n"
    )


def write_stills(folder: Path) -> tuple[Path, str]:
    """A folder of drawn stills, among them what cannot be inspected."""
    path = folder / "stills"
    (path / "coil 2").mkdir(parents=True)
    kinds = ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches", "clean")
    for number, kind in enumerate(kinds * 2):
        png = cv2.imencode(".png", draw_tile(kind, 20_000 + number))[1].tobytes()
        (path / ("coil 2" if number % 3 else "") / f"{number:02}-{kind}.png").write_bytes(png)
    (path / "30-large.bmp").write_bytes(
        cv2.imencode(".bmp", Strip(StripSpec(13, defects_per_m=5)).lines(0, 900))[1].tobytes()
    )
    (path / "31-dark.png").write_bytes(cv2.imencode(".png", np.zeros((200, 200), np.uint8))[1].tobytes())
    (path / "32-half.png").write_bytes((path / "00-crazing.png").read_bytes()[:900])
    (path / "33-text.jpg").write_text("no picture")
    return path, STATION + '[source]\nkind = "folder"\npath = "x"\n'


def write_taught(folder: Path) -> tuple[Path, str]:
    """A drawn strip as raw lines before a station that was taught other steel of its kind."""
    path, lines = folder / "taught.raw", Strip(StripSpec(14, defects_per_m=3)).lines(0, 3000).copy()
    lines[800:900, 300:400] = 128
    path.write_bytes(lines.tobytes())
    teach(folder / "state", load_bundle(find_bundle(DEFAULT_BUNDLE)))
    return path, STATION.replace('[decision]\nmode = "alarm"\n', "") + (
        f'[source]\nkind = "lines"\npath = "x"\nwidth_px = {lines.shape[1]}\nframe_lines = 600\noverlap_lines = 100\n'
        f'[store]\npath = "{folder / "state"}"\n[events]\nframe_messages = true\n'
    )


SURFACES: dict[str, Callable[[Path], tuple[Path, str]]] = {
    "strip": write_strip,
    "lines": write_lines,
    "folder": write_stills,
    "taught": write_taught,
}


def messages_of(name: str, folder: Path) -> Iterator[bytes]:
    """Replay one recorded surface; each message without the fingerprint of the configuration."""
    path, text = SURFACES[name](folder)
    for file in (*path.rglob("*"), path) if path.is_dir() else (path,):
        os.utime(file, (RECORDED_S, RECORDED_S))
    (folder / "station.toml").write_text(text)
    replay_path(path, folder / "station.toml", folder / "messages.jsonl")
    for line in (folder / "messages.jsonl").read_text("utf-8").replace(str(folder), "").splitlines():
        yield canonical_json({key: value for key, value in json.loads(line).items() if key != "config"})


def digest_of(name: str, folder: Path) -> dict[str, object]:
    messages = list(messages_of(name, folder))
    return {"messages": len(messages), "sha256": hashlib.sha256(b"\n".join(messages)).hexdigest()}


@pytest.mark.parametrize("name", SURFACES)
def test_recorded_surfaces_give_the_same_messages(name: str, tmp_path: Path) -> None:
    """A strip, a line file and a folder give the messages whose digests are committed."""
    assert json.loads(DIGESTS.read_text())[name] == digest_of(name, tmp_path)


def main() -> None:
    """Write the digests anew."""
    digests = {}
    for name in SURFACES:
        with tempfile.TemporaryDirectory() as folder:
            digests[name] = digest_of(name, Path(folder))
    DIGESTS.write_text(json.dumps(digests, indent=1) + "\n")


if __name__ == "__main__":
    main()
