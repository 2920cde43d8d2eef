"""What a person probably meant: the nearest name that exists, or the name that others give to what it is."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

Keys = Mapping[str, Iterable[str]]
"""Names of the keys of each section."""

SECTION_WORDS = {
    "broker": "mqtt", "camera": "source", "input": "source", "database": "store", "web": "http", "server": "http",
    "classes": "labels", "bundle": "model", "tiles": "tiling",
}  # fmt: skip
"""Sections by other names."""
KEY_WORDS = {
    "url": "path", "uri": "path", "folder": "path", "directory": "path", "dir": "path", "device": "path",
    "topic": "root", "prefix": "root", "user": "username", "broker": "host", "server": "host", "type": "kind",
    "password": "password_file", "token": "token_file", "credentials": "credentials_file", "keepalive": "keepalive_s",
}  # fmt: skip
"""Keys by other names."""
KIND_WORDS = {
    **dict.fromkeys(("rtsp", "rtsps", "http", "https", "mjpeg", "onvif", "ip", "ipcam", "network", "stream", "url"),
                    "kind = 'camera' with path = 'rtsp://…' or 'http://…'"),
    **dict.fromkeys(("usb", "v4l2", "v4l", "webcam", "device", "cam", "opencv"),
                    "kind = 'camera' with path = '/dev/video0'"),
    **dict.fromkeys(("video", "file", "mp4", "avi"), "kind = 'camera' with the path of a video file"),
    **dict.fromkeys(("directory", "dir", "path", "files", "images", "pictures", "stills", "watch", "hotfolder", "smb",
                     "nfs", "ftp"), "kind = 'folder' with the path of the folder"),
    **dict.fromkeys(("raw", "fifo", "pipe", "socket", "tcp", "unix", "stdin", "linescan", "line-scan", "gige",
                     "genicam"), "kind = 'lines' with the path of the stream"),
    **dict.fromkeys(("test", "simulation", "fake", "drawn"), "kind = 'demo'"),
}  # fmt: skip
"""Kinds of sources by other names."""


def nearest(word: str, known: Iterable[str], cutoff: float = 0.7) -> str | None:
    """Return the known name that is written nearly like `word`, without regard to case and separators, or None.

    A name that lacks only its unit is nearest: `roi` is `roi_xy`.
    """
    plain = {_plain(name): name for name in known}
    without_unit = [one for one in plain if one.startswith(f"{_plain(word)}_")]
    found = without_unit if len(without_unit) == 1 else difflib.get_close_matches(_plain(word), plain, 1, cutoff)
    return plain[found[0]] if found else None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.lower()).strip("_")


def hint_of_key(parts: list[str], keys: Keys) -> str:
    """Return `; did you mean …?` for a section or key that does not exist, or where it belongs, or nothing."""
    section, *rest = parts
    if section not in keys and rest:
        return ""
    if section not in keys:
        if meant := nearest(section, keys) or SECTION_WORDS.get(_plain(section)):
            return f"; did you mean [{meant}]?"
        if homes := _homes(section, keys):
            return f"; {section} is a key of {' and '.join(homes)}"
        return f"; there are {', '.join(f'[{name}]' for name in keys)}"
    if len(rest) != 1:
        return ""
    key = rest[0]
    own = set(keys[section])
    also = KEY_WORDS.get(_plain(key))
    if meant := nearest(key, own) or (also if also in own else None):
        return f"; did you mean {section}.{meant}?"
    if homes := _homes(key, keys):
        return f"; {key} is a key of {' and '.join(homes)}"
    return ""


def _homes(key: str, keys: Keys) -> list[str]:
    return [f"[{section}]" for section, known in keys.items() if key in known]


def hint_of_variable(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean …?` for an environment variable that does not exist, or nothing."""
    variables = tuple(known)
    if meant := nearest(name, variables, cutoff=0.8):
        two = " (two underscores after the section)" if _plain(meant) == _plain(name) else ""
        return f"; did you mean {meant}?{two}"
    return ""


def hint_of_kind(kind: object, kinds: Iterable[str]) -> str:
    """Return `; did you mean …?` for a kind of source that does not exist, or nothing."""
    if not isinstance(kind, str):
        return ""
    meant = KIND_WORDS.get(kind.lower().partition(":")[0])
    if meant is None and (like := nearest(kind, kinds)):
        meant = f"kind = '{like}'"
    return f"; did you mean {meant}?" if meant else ""


def hint_of_word(word: object, expected: str) -> str:
    """Return `; did you mean …?` for a word that is none of the expected ones, which stand in quotes."""
    meant = nearest(word, re.findall(r"'([^']+)'", expected)) if isinstance(word, str) else None
    return f"; did you mean '{meant}'?" if meant else ""
