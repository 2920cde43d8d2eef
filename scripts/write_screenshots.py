"""Take the pictures of docs/img anew: the status page, wide and on a telephone, and an alarm's evidence picture.

scripts/with-test python scripts/write_screenshots.py

A station inspects the demo's strip below a folder that is deleted at the end; chromium photographs its page. Needs
chromium (Debian: apt-get install chromium). The pictures show the moment, so no test holds them equal; look at them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

IMAGES = Path(__file__).parents[1] / "docs" / "img"
SIZES = {"status.png": (1440, 1180), "narrow.png": (500, 900)}
"""Width and height of each picture; 500 is the least width of chromium's window."""
SHOWN_DEFECTS = 20
LONGEST_S = 120
CONFIG = """
[station]
site = "demo"
line = "strip"
name = "cam1"
[source]
kind = "demo"
mm_per_px = 0.5
[decision]
mode = "alarm"
[events]
alarm_limit = 1000
[alarm]
per_hour = 100000
[mqtt]
enabled = false
[store]
path = "{folder}/state"
[http]
port = 0
"""


def main() -> int:
    """Run the station, wait until its page is full, and photograph it."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.stderr.write("chromium is not installed: sudo apt-get install chromium\n")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "station.toml"
        config.write_text(CONFIG.format(folder=folder), "utf-8")
        command = [sys.executable, "-m", "inspector", "run", "--config", config]
        environ = {**os.environ, "JOURNAL_STREAM": "", "TZ": "Europe/Berlin"}
        station = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ)
        try:
            url = address_of(station)
            look(url)  # the next look knows how many frames come in a second
            defects = full_page(url)
            for name, (width, height) in SIZES.items():
                photograph(browser, f"{url}/?refresh=0", IMAGES / name, width, height)
            write_alarm(url, defects)
        finally:
            station.terminate()
            station.wait(30)
    return 0


def address_of(station: subprocess.Popen[str]) -> str:
    """Return where the station listens, from the log line of its start."""
    assert station.stderr is not None  # noqa: S101 - it is a pipe
    for line in station.stderr:
        text = line[line.find("{") :]
        if '"started"' in text:
            threading.Thread(target=station.stderr.read, daemon=True).start()  # it may go on writing
            return f"http://127.0.0.1:{json.loads(text)['http']}"
    raise SystemExit("the station has not started")


def full_page(url: str) -> list[dict[str, Any]]:
    """Wait until the page has all the defects that it can show; returns them, newest first."""
    pause = threading.Event()
    for _ in range(LONGEST_S):
        try:
            with urllib.request.urlopen(f"{url}/api/defects?limit=200", timeout=10) as answer:  # noqa: S310 - ours
                answered = json.load(answer)
        except urllib.error.URLError:
            answered = []
        found = list(answered if isinstance(answered, list) else answered["defects"])
        if len({defect["defect_id"] for defect in found}) > SHOWN_DEFECTS:
            return found
        pause.wait(1)
    raise SystemExit("the station finds nothing")


def look(url: str) -> None:
    """Read the page once, as a browser would."""
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - ours
        answer.read()


def photograph(browser: str, url: str, path: Path, width: int, height: int) -> None:
    """Write a picture of a page, as large as the window."""
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--lang=en-US",
               f"--window-size={width},{height}", f"--screenshot={path}")  # fmt: skip
    subprocess.run([browser, *options, url], check=True, capture_output=True, timeout=LONGEST_S)


def write_alarm(url: str, defects: list[dict[str, Any]]) -> None:
    """Write the evidence picture of the last alarm on a critical defect that shows whole."""
    ways = [defect["evidence"]["url"] for defect in defects
            if defect["alarm"] and defect["severity"] == "critical" and defect["evidence"]["url"]]  # fmt: skip
    with urllib.request.urlopen(f"{url}{ways[0]}", timeout=10) as answer:  # noqa: S310 - ours
        (IMAGES / "alert.jpg").write_bytes(answer.read())


if __name__ == "__main__":
    sys.exit(main())
