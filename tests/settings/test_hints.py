"""A refused configuration names the fix: the line and the place in it, the nearest name, the words for a pattern."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from inspector.errors import ConfigError
from inspector.settings.loading import load_settings

SMALLEST = """[station]
site = "site"
line = "line"
name = "cam1"
[source]
kind = "folder"
path = "/srv/frames"
"""
CAMERA = "kind = 'camera' with path = "


def refused(folder: Path, text: str | bytes, environ: Mapping[str, str] | None = None) -> str:
    """Return how a file is refused, without its path."""
    path = folder / "s.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as refusal:
        load_settings(path, environ=environ or {})
    return str(refusal.value).replace(str(path), "s.toml")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        pytest.param("path =", "pathh =", "source.pathh: unknown key; did you mean source.path?", id="key"),
        pytest.param("path =", "url =", "source.url: unknown key; did you mean source.path?", id="another's word"),
        pytest.param("[source]", "[camera]", "camera: unknown key; did you mean [source]?", id="another's section"),
        pytest.param("[source]", "[Source]", "Source: unknown key; did you mean [source]?", id="capitals"),
        pytest.param("[source]", "[tiling]\nroi = []\n[source]", "tiling.roi: unknown key; did you mean tiling.roi_xy?",
                     id="without its unit"),
        pytest.param("[source]", "port = 1\n[source]", "station.port: unknown key; port is a key of [mqtt] and [http]",
                     id="in another section"),
        pytest.param("[station]", "host = 'x'\n[station]", "host: unknown key; host is a key of [mqtt]",
                     id="in no section"),
        pytest.param('"folder"', '"rtsp"', f"'rtsp'; did you mean {CAMERA}'rtsp://…' or 'http://…'?", id="rtsp"),
        pytest.param('"folder"', '"rtsp://cam/1"', f"did you mean {CAMERA}'rtsp://…' or 'http://…'?", id="URL"),
        pytest.param('"folder"', '"usb"', f"'usb'; did you mean {CAMERA}'/dev/video0'?", id="usb"),
        pytest.param('"folder"', '"foldr"', "'foldr'; did you mean kind = 'folder'?", id="kind misspelt"),
        pytest.param('kind = "folder"', "", "source.kind: missing; one of 'folder', 'camera', 'lines', 'demo'",
                     id="no kind"),
        pytest.param("[source]", "[decision]\nmode = 'observ'\n[source]", "'observ'; did you mean 'observe'?",
                     id="word"),
        pytest.param('"cam1"', '"cam 1/x"',
                     "station.name: a name may not contain a space or /: 'cam 1/x'; for example 'cam-1-x'", id="name"),
        pytest.param('"cam1"', '"a+b#"', "station.name: a name may not contain # or +: 'a+b#'; for example 'a-b'",
                     id="wildcards"),
        pytest.param('"/srv/frames"', r'"C:\frames"', r"in double quotes \f means this; write the text in single",
                     id="Windows, form feed"),
        pytest.param('"/srv/frames"', r"'C:\frames'", r"source.path: a path of Windows: 'C:\\frames'; mount the share",
                     id="Windows"),
        pytest.param('"/srv/frames"', r"'\\nas\frames'", "source.path: a path of Windows: ", id="share"),
    ],
)  # fmt: skip
def test_what_was_probably_meant(tmp_path: Path, before: str, after: str, said: str) -> None:
    """Beside what is wrong stands what would be right."""
    assert said in refused(tmp_path, SMALLEST.replace(before, after, 1))


def test_a_section_like_no_other_lists_them(tmp_path: Path) -> None:
    """Where nothing is near, all sections are named."""
    said = refused(tmp_path, SMALLEST + "[zzz]\n")

    assert said.startswith("s.toml: zzz: unknown key; there are [station], [source], ")
    assert refused(tmp_path, "").splitlines() == [
        "s.toml: station: missing; add the section [station]", "s.toml: source: missing; add the section [source]"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("INSPECTOR_MQTT_HOST", "did you mean INSPECTOR_MQTT__HOST? (two underscores after the section)"),
        ("INSPECTOR_STORE_OUTBOX_LIMIT_BYTES", "did you mean INSPECTOR_STORE__OUTBOX_LIMIT_BYTES? (two underscores"),
        ("INSPECTOR__MQTT__HOST", "did you mean INSPECTOR_MQTT__HOST?"),
        ("inspector_http_port", "did you mean INSPECTOR_HTTP__PORT?"),
        ("INSPECTOR_MQQT__PORT", "did you mean INSPECTOR_MQTT__PORT?"),
    ],
)
def test_variables(tmp_path: Path, name: str, said: str) -> None:
    """One underscore too few or too many, or a slip, is named with the variable that exists."""
    assert f"environment: unknown variable: {name}; {said}" in refused(tmp_path, SMALLEST, {name: "x"})


def test_a_variable_like_no_other_has_no_hint(tmp_path: Path) -> None:
    """A far-fetched guess helps nobody."""
    assert refused(tmp_path, SMALLEST, {"INSPECTOR_BROKER": "x"}).endswith("unknown variable: INSPECTOR_BROKER")


@pytest.mark.parametrize(
    ("line", "mark", "remedy"),
    [
        pytest.param("host = localhost", "       ^", "a text stands in quotes", id="no quotes"),
        pytest.param("host = “x”", "       ^", "texts stand in straight quotes: \" or '", id="curly quotes"),
        pytest.param('host = "x', "         ^", "a quote is missing", id="open"),
        pytest.param("host = 'x", "         ^", "a quote is missing", id="open single"),
        pytest.param("port: 1883", "    ^", "a key and its value are joined by =", id="colon"),
        pytest.param("tls = True", "      ^", "a truth is written true or false", id="True"),
        pytest.param("host =", "      ^", "a key without a value is left out", id="empty"),
        pytest.param("[station]", "        ^", "this section began before: join the two", id="section twice"),
        pytest.param("host = null", "       ^", "a key without a value is left out", id="null"),
        pytest.param("window = 1,5", "          ^", "a decimal has a point, no comma", id="comma"),
        pytest.param(r'ca_file = "C:\data"', "               ^",
                     r"a backslash in double quotes begins an escape: use single quotes, as in 'a\b'", id="backslash"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_syntax_is_shown_in_its_line(tmp_path: Path, line: str, mark: str, remedy: str) -> None:
    """Line and column, the line, a caret, and what usually helps."""
    first, shown, caret, help_ = refused(tmp_path, f"{SMALLEST}[mqtt]\n{line}\n[http]\n").splitlines()

    assert first.startswith(f"s.toml: not TOML: line 9, column {mark.index('^') + 1}: ")
    assert (shown, caret, help_) == (f"  {line}", f"  {mark}", f"  {remedy}")


def test_the_line_is_shown_without_its_secrets(tmp_path: Path) -> None:
    """What may be a password is covered, and the caret stays where it belongs."""
    plain = refused(tmp_path, SMALLEST + "[mqtt]\npassword = geheim\n")
    url = refused(tmp_path, SMALLEST.replace('"/srv/frames"', '"rtsp://user:geheim@cam'))

    assert plain.splitlines()[1:3] == ["  password = ******", "             ^"]
    assert "rtsp://***********@cam" in url
    assert "geheim" not in plain + url


def test_a_long_line_is_shown_where_it_matters(tmp_path: Path) -> None:
    """A line of thousands of characters, and one that holds a tab, keep the caret under the place."""
    long = refused(tmp_path, SMALLEST + "[mqtt]\ncommands = [" + "'a', " * 900 + "x]\n").splitlines()
    tab = refused(tmp_path, SMALLEST + "[mqtt]\n\thost = x\n").splitlines()

    assert len(long[1]) <= 110
    assert long[1][long[2].index("^")] == "x"
    assert tab[1][tab[2].index("^")] == "x"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        pytest.param(SMALLEST.encode("utf-16"), "s.toml: not TOML: the text is UTF-16: save it as UTF-8", id="UTF-16"),
        pytest.param(SMALLEST.encode() + b"# M\xfcller\n", "line 8: the byte 0xfc is no UTF-8", id="Latin 1"),
    ],
)
def test_other_encodings_are_named(tmp_path: Path, raw: bytes, said: str) -> None:
    """What a Windows editor writes is refused by its name."""
    assert said in refused(tmp_path, raw)


def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake(tmp_path: Path) -> None:
    """Notepad's way of writing UTF-8 is read."""
    path = tmp_path / "s.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SMALLEST.replace("\n", "\r\n").encode())

    assert load_settings(path, environ={}).settings.station.name == "cam1"
