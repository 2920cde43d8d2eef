"""`inspector.settings`: every value has one origin, and every mistake is named with its file and key."""

from __future__ import annotations

import os
import re
import threading
import tomllib
from pathlib import Path
from typing import Any

import pytest

from inspector.errors import EXIT_REFUSED, ConfigError
from inspector.settings import places
from inspector.settings.alarm import LabelWords
from inspector.settings.loading import RESERVED_ENV, load_settings, sections_of
from inspector.settings.places import state_folder
from inspector.settings.recipe import Match, Recipe
from inspector.settings.sections import Settings, is_loopback
from inspector.settings.source import (
    SOURCE_KINDS,
    CameraOptions,
    DemoOptions,
    FolderOptions,
    LinesOptions,
    PathOptions,
    SourceOptions,
    as_kind,
)

SMALLEST = """
[station]
site = "site"
line = "line"
name = "cam1"
[source]
kind = "folder"
path = "/srv/frames"
"""
ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", ROOT / "docs/reference/configuration.md")


def write(folder: Path, text: str = "", base: str = SMALLEST) -> Path:
    path = folder / "station.toml"
    path.write_text(base + text, encoding="utf-8")
    return path


def load(folder: Path, text: str = "", environ: dict[str, str] | None = None, **overrides: Any) -> Settings:
    dotted = {name.replace("__", "."): value for name, value in overrides.items()}
    return load_settings(write(folder, text), dotted, environ or {}).settings


def test_the_smallest_file_runs(tmp_path: Path) -> None:
    """Three names and a source are enough; everything else has a default."""
    settings = load(tmp_path)

    assert (settings.station.text, settings.root) == ("site/line/cam1", "inspector/site/line/cam1")
    assert (settings.mqtt.host, settings.mqtt.port, settings.mqtt.tls) == ("127.0.0.1", 1883, None)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("[mqtt]\nhots = 'x'", r"toml: mqtt\.hots: unknown key; .*mqtt\.host\?$", id="unknown key"),
        pytest.param("[mqtt]\npassword = 'geheim'", r"mqtt\.password: unknown .*_file\?$", id="a secret"),
        pytest.param("[mqqt]\nhost = 'x'", r"station\.toml: mqqt: unknown key; .*\[mqtt\]\?$", id="unknown section"),
        pytest.param("[mqqt]", r"station\.toml: mqqt: unknown key; .*\[mqtt\]\?$", id="unknown section without keys"),
        pytest.param("[MQTT]\nhost = 'x'", r"toml: MQTT: unknown key; .*\[mqtt\]\?$", id="section in capitals"),
        pytest.param("[[receipts]]\nname = 'geheim'", r"station\.toml: receipts: unknown key;",
                     id="unknown array of tables"),
        pytest.param("[[mqtt]]\nport = 1", r"station\.toml: mqtt: .*a \[mqtt\] table is wanted",
                     id="array of tables"),
        pytest.param("[mqtt]\nport = 'abc'", r"mqtt\.port: .*valid integer.*: 'abc'", id="ill-typed"),
        pytest.param("[mqtt]\nport = 0", r"mqtt\.port: .*greater than or equal to 1: 0", id="out of range"),
        pytest.param("[mqtt]\nport = 1.5", r"mqtt\.port: .*: 1\.5", id="a fraction of a port"),
        pytest.param("[decision]\nmode = 'loud'", r"decision\.mode: .*'alarm' or 'observe': 'loud'", id="no such word"),
        pytest.param("[decision]\nrecord_floor = nan", r"decision\.record_floor: .*finite number", id="NaN"),
        pytest.param("[store]\nevidence_max_age_days = inf", r"store\.evidence_max_age_days: .*finite", id="infinite"),
        pytest.param("[decision.thresholds]\ncrack = 1.5", r"decision\.thresholds\.crack: .*: 1\.5", id="in a table"),
        pytest.param("[tiling]\nroi_xy = [[1, 2, 3]]", r"tiling\.roi_xy\.0: ", id="no corner"),
        pytest.param(
            "[events]\nalarm_hits = 5\nalarm_window = 3", r"events: alarm_hits must not exceed alarm_window \(3\): 5",
            id="N over M",
        ),
        pytest.param("[mqtt]\nroot = 'a/#'", r"mqtt\.root: a topic without wildcards", id="wildcard in the root"),
        pytest.param("[mqtt]\nroot = '/$SYS/x'", r"mqtt\.root: a topic .* not below \$", id="root below $"),
        pytest.param("[mqtt]\nroot = '//'", r"mqtt\.root: a topic", id="empty root"),
        pytest.param("[mqtt]\nhost = 'mqtt://u:geheim@h'", r"mqtt\.host: a host name .* no URL", id="URL as host"),
        pytest.param("[mqtt]\nhost = 'broker'", r"mqtt: set tls = true, .*: broker", id="another host without tls"),
        pytest.param(
            "[mqtt]\nhost = '127.example.com'", r"mqtt: set tls = true, .*: 127\.example\.com", id="no loopback name"
        ),
        pytest.param(
            "[mqtt]\nhost = 'b'\ntls = false\nusername = 'u'\npassword_file = '/p'",
            r"mqtt: password_file is refused without tls", id="password over plain",
        ),
        pytest.param("[mqtt]\npassword_file = '/p'", r"mqtt: username is needed by password_file", id="no user"),
        pytest.param("[mqtt]\ncert_file = '/c'", r"mqtt: cert_file and key_file belong together", id="half a pair"),
        pytest.param("[mqtt]\nca_file = '/c'", r"mqtt: ca_file and cert_file need tls = true", id="CA without tls"),
        pytest.param("[http]\naddress = '0.0.0.0'", r"http: .*token_file are needed off loopback: 0", id="http"),
        pytest.param(
            "[http]\naddress = '::'\ntoken_file = '/t'", r"http: .*are needed off loopback: ::", id="token without tls"
        ),
        pytest.param("no toml", r"station\.toml: not TOML: ", id="no TOML"),
        pytest.param("x = " + "[" * 5000 + "]" * 5000, r"not TOML: .*more than 16 deep", id="deep arrays"),
        pytest.param("[tiling]\nroi_xy = " + "[" * 40 + "]" * 40, r"station\.toml: tiling\.roi_xy: .*more than 16 deep",
                     id="less deep"),
        pytest.param("[" + ".".join("a" * 5000) + "]", r"station\.toml: .*more than 16 deep", id="deep tables"),
        pytest.param("[mqtt]\nport = " + "9" * 5000, r"station\.toml: not TOML: .*digits", id="5,000 digits"),
        pytest.param("[mqtt]\nport = " + "9" * 50, r"mqtt\.port: a number is at most 9007199254740992", id="50 digits"),
        pytest.param("[tiling]\nroi_xy = [[0, 1e99]]", r"tiling\.roi_xy: a number is at most", id="1e99 inside"),
        pytest.param("[store]\npath = '/a\\u0000b'".replace("'", '"'), r"store\.path: .*NUL", id="NUL in a path"),
        pytest.param('[mqtt]\nca_file = "/a\\u0000"', r"mqtt\.ca_file: .*NUL", id="NUL in a file"),
        pytest.param('[model]\npath = "a\\u0000"', r"model\.path: .*NUL", id="NUL in a bundle"),
        pytest.param(f"[store]\npath = '{'a' * 5000}'", r"store\.path: .*at most 4096 characters", id="long path"),
        pytest.param("#" * (1 << 20), r"station\.toml: not TOML: more than 1048576 bytes", id="large"),
    ],
)  # fmt: skip
def test_mistakes_in_the_file(tmp_path: Path, text: str, told: str) -> None:
    """A wrong key, value or combination is refused with exit code 78, naming file, key and value, and no secret."""
    with pytest.raises(ConfigError, match=told) as refusal:
        load(tmp_path, "\n" + text)

    assert refusal.value.exit_code == EXIT_REFUSED
    assert "geheim" not in str(refusal.value)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        pytest.param("kind = 'folder'", r"source: path is needed by kind = 'folder'", id="no path"),
        pytest.param("kind = 'tape'\npath = 'x'", r"source\.kind: .*: 'tape'", id="no such kind"),
        pytest.param("kind = 'tape'\npassword = 'geheim'", r"toml: source\.kind: [^{]*: 'tape'$", id="with a secret"),
        pytest.param("kind = ['folder']", r"source\.kind: Input should be 'folder', .* or 'demo': \['folder'\]$",
                     id="several kinds"),
        pytest.param("kind = 3", r"source\.kind: Input should be .*: 3$", id="a number as kind"),
        pytest.param("path = 'x'", r"source\.kind: missing; one of 'folder', .*$", id="no kind"),
        pytest.param("password = 'geheim'", r"source\.kind: missing; one of 'folder', .*$", id="no kind, but a secret"),
        pytest.param("kind = 'folder'\npath = 'x'\nsettle_s = 'soon'", r"toml: source\.settle_s: .*number.*: 'soon'$",
                     id="ill-typed key of a kind"),
        pytest.param("kind = 'folder'\npath = 'x'\npassword = 'geheim'", r"toml: source\.password: unknown key$",
                     id="a key of no kind"),
        pytest.param("kind = 'lines'\npath = '-'", r"source: width_px is needed by kind = 'lines'", id="no width"),
        pytest.param(
            "kind = 'lines'\npath = '-'\nwidth_px = 64\noverlap_lines = 400",
            r"source: overlap_lines must be under frame_lines \(400\): 400", id="nothing new in a frame",
        ),
        pytest.param(
            "kind = 'folder'\npath = 'x'\nfinished = 'move'", r"source: finished_dir is needed by", id="where to"
        ),
        *(
            pytest.param(f"kind = 'camera'\npath = '{url}'", r"source\.path: a URL without user and password", id=url)
            for url in (
                "rtsp://user:geheim@cam/1", "rtsp://user@cam/1", "http://user:geh/eim@cam", "http://user:geh#eim@cam",
                "rtsp://user:geh?eim@cam",
            )
        ),
        pytest.param(
            "kind = 'folder'\npath = 'x'\npatterns = []", r"source\.patterns: .* at least 1 item", id="no pattern"
        ),
        pytest.param(
            "kind = 'folder'\npath = 'x'\npatterns = ['*.jpg', '']",
            r"source\.patterns\.1: .* at least 1 character: ''", id="an empty pattern",
        ),
        pytest.param(
            "kind = 'camera'\npath = '0'\nfrozen_frames = 1", r"source\.frozen_frames: 0 or at least 2 is wanted.*: 1$",
            id="frozen at once",
        ),
    ],
)  # fmt: skip
def test_mistakes_in_the_source(tmp_path: Path, source: str, told: str) -> None:
    """Sources that cannot work are refused; secrets in URLs are, too, and are not repeated."""
    base = f"[station]\nsite = 's'\nline = 'l'\nname = 'n'\n[source]\n{source}\n"
    with pytest.raises(ConfigError, match=told) as refusal:
        load_settings(write(tmp_path, base=base), environ={})

    assert not re.search("geheim|geh|eim", str(refusal.value))


@pytest.mark.parametrize("url", ["rtsp://cam:554/stream@1", "http://[::1]:8080/video", "tcp://127.0.0.1:9000"])
def test_urls_without_secrets_are_taken(tmp_path: Path, url: str) -> None:
    """An @ in the path, a port, an IPv6 address: nothing of that is a secret."""
    source = load(tmp_path, source__path=url).source

    assert isinstance(source, PathOptions)
    assert source.path == url


RECIPES = """
[[recipe]]
name = "thin"
match = {product = "tin", thickness_mm = [0.1, 0.5]}
[[recipe]]
name = "thick"
alarm_limit_s = 2.5
"""


def test_a_section_may_be_an_array_of_tables(tmp_path: Path) -> None:
    """Each table of `[[recipe]]` is one row, and each of its values has a numbered name, a value and an origin."""
    path = write(tmp_path, RECIPES)
    loaded = load_settings(path, environ={})
    named = {
        name: (value, loaded.origins[name]) for name, value in loaded.json_values().items()
        if re.fullmatch(r"recipe\.\d\.(name|alarm_limit_s)", name)
    }  # fmt: skip

    thin = Match(product="tin", thickness_mm=(0.1, 0.5))
    assert loaded.settings.recipe == (Recipe(name="thin", match=thin), Recipe(name="thick", alarm_limit_s=2.5))
    assert named == {
        "recipe.0.name": ("thin", str(path)), "recipe.0.alarm_limit_s": (None, "default"),
        "recipe.1.name": ("thick", str(path)), "recipe.1.alarm_limit_s": (2.5, str(path)),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("[[recipe]]\nname = 3", r"station\.toml: recipe\.0\.name: .*valid string: 3$", id="ill-typed"),
        pytest.param(
            "[[recipe]]\nname = 'a'\n[[recipe]]\nnmae = 'geheim'",
            r"station\.toml: recipe\.1\.nmae: unknown key",
            id="unknown key",
        ),
        pytest.param("[recipe]\nname = 'a'", r"station\.toml: recipe: tables \[\[recipe\]\] are wanted",
                     id="one table"),
    ],
)  # fmt: skip
def test_mistakes_in_an_array_of_tables(tmp_path: Path, text: str, told: str) -> None:
    """A mistake in a row is named with the row's number, and no secret is repeated."""
    with pytest.raises(ConfigError, match=told) as refusal:
        load_settings(write(tmp_path, "\n" + text), environ={})

    assert "geheim" not in str(refusal.value)


UNUSED = " and the next release refuses it"


@pytest.mark.parametrize(
    ("source", "environ", "told"),
    [
        pytest.param("kind = 'folder'\npath = 'x'\nwidth_px = 64", {},
                     "FILE: source.width_px: kind = 'folder' does not use this key,", id="lines' in a folder"),
        pytest.param("kind = 'folder'\npath = 'x'\nwidth_px = 'wide'", {},
                     "FILE: source.width_px: kind = 'folder' does not use this key,", id="ill-typed at that"),
        pytest.param("kind = 'demo'\npath = 'x'", {},
                     "FILE: source.path: kind = 'demo' does not use this key,", id="a path of the demo"),
        pytest.param("kind = 'lines'\npath = '-'\nwidth_px = 64", {"INSPECTOR_SOURCE__SEED": "3"},
                     "env INSPECTOR_SOURCE__SEED: source.seed: kind = 'lines' does not use this key,", id="variable"),
        pytest.param("kind = 'folder'\npath = 'x'\nsettle_s = 3", {"INSPECTOR_SOURCE__KIND": "camera"},
                     "FILE: source.settle_s: kind = 'camera' does not use this key,", id="kind of a variable"),
    ],
)  # fmt: skip
def test_a_key_of_another_kind_is_warned_of(tmp_path: Path, source: str, environ: dict[str, str], told: str) -> None:
    """What this kind of source does not use is passed over, and named with where it was given."""
    base = f"[station]\nsite = 's'\nline = 'l'\nname = 'n'\n[source]\n{source}\n"
    loaded = load_settings(path := write(tmp_path, base=base), environ=environ)
    (name,) = loaded.unused

    assert loaded.warnings == (told.replace("FILE", str(path)) + UNUSED,)
    assert name not in loaded.json_values()
    assert not hasattr(loaded.settings.source, name.removeprefix("source."))


def test_keys_that_the_kind_uses_are_no_warning(tmp_path: Path) -> None:
    """The scale and the limits of a picture are keys of all kinds."""
    for kind in SOURCE_KINDS:
        values = {"source.kind": kind, "source.path": "x", "source.width_px": 64, "source.mm_per_px": 0.5}
        used = {
            name: value
            for name, value in values.items()
            if name.removeprefix("source.") in SOURCE_KINDS[kind].model_fields
        }
        station = {f"station.{level}": "x" for level in ("site", "line", "name")}
        loaded = load_settings(None, used | station | {"source.max_frame_px": 5000, "source.full_scale": 4095}, {})

        assert loaded.warnings == ()
        assert (loaded.settings.source.mm_per_px, loaded.settings.source.max_frame_px) == (0.5, 5000)


def test_a_source_is_read_as_another_kind_by_the_keys_that_both_use() -> None:
    """A replay of stills keeps what is configured for the camera, and nothing else."""
    camera = CameraOptions(path="0", independent=True, mm_per_px=0.5, max_file_bytes=2000, open_timeout_s=9)
    lines = LinesOptions(path="-", width_px=64, frame_lines=100, overlap_lines=20)

    assert as_kind(camera, FolderOptions, path="x", settle_s=0.0) == FolderOptions(
        path="x", independent=True, mm_per_px=0.5, max_file_bytes=2000, settle_s=0.0
    )  # fmt: skip
    assert as_kind(lines, LinesOptions, path="a.raw") == lines.model_copy(update={"path": "a.raw"})
    assert as_kind(lines, DemoOptions) == DemoOptions(frame_lines=100, overlap_lines=20)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A configuration that is not there, and one that is no text, are refused by name."""
    with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read: No such file"):
        load_settings(tmp_path / "absent.toml", environ={})
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\0")
    with pytest.raises(ConfigError, match=r"binary\.toml: not TOML"):
        load_settings(tmp_path / "binary.toml", environ={})


def test_a_configuration_may_come_through_a_pipe(tmp_path: Path) -> None:
    """What a shell hands over as /dev/fd/63 is read like a file."""
    os.mkfifo(tmp_path / "pipe.toml")
    writer = threading.Thread(target=(tmp_path / "pipe.toml").write_text, args=(SMALLEST,))
    writer.start()
    loaded = load_settings(tmp_path / "pipe.toml", environ={})
    writer.join()

    assert loaded.settings.station.name == "cam1"


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Several mistakes are one message with a line for each."""
    with pytest.raises(ConfigError) as refusal:
        load(tmp_path, "\n[mqtt]\nport = 0\nhots = 'x'\n[http]\nport = -1")

    assert [
        line.split(": ")[1] for line in str(refusal.value).splitlines()
    ] == ["mqtt.port", "mqtt.hots", "http.port"]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        pytest.param(
            "INSPECTOR_MQTT__HOTS",
            "x",
            "environment: unknown variable: INSPECTOR_MQTT__HOTS; did you mean INSPECTOR_MQTT__HOST\\?$",
            id="key",
        ),
        pytest.param(
            "INSPECTOR_MQTT__PASSWORD",
            "geheim",
            "INSPECTOR_MQTT__PASSWORD; did you mean INSPECTOR_MQTT__PASSWORD_FILE\\?$",
            id="secret",
        ),
        pytest.param(
            "INSPECTOR_MQQT__HOST",
            "x",
            "unknown variable: INSPECTOR_MQQT__HOST; did you mean INSPECTOR_MQTT__HOST\\?$",
            id="section",
        ),
        pytest.param("INSPECTOR_DEBUG", "1", "unknown variable: INSPECTOR_DEBUG$", id="no section"),
        pytest.param(
            "inspector_mqtt__hots",
            "1",
            "unknown variable: inspector_mqtt__hots; did you mean INSPECTOR_MQTT__HOST\\?$",
            id="lower case",
        ),
        pytest.param("INSPECTOR_MQTT__PORT", "abc", r"^env INSPECTOR_MQTT__PORT: mqtt\.port: .*: 'abc'", id="type"),
        pytest.param(
            "INSPECTOR_DECISION__THRESHOLDS", "crack=1", "INSPECTOR_DECISION__THRESHOLDS: JSON is wanted", id="no JSON"
        ),
        pytest.param("INSPECTOR_DECISION__THRESHOLDS", "", "JSON is wanted for decision.thresholds: ''", id="empty"),
        pytest.param("INSPECTOR_STORE__PATH", "/a\udcff", r"store\.path: a text that is no UTF-8", id="no UTF-8"),
        pytest.param("INSPECTOR_DECISION__THRESHOLDS", '{"\udcff": 1}', "no UTF-8 is refused", id="no UTF-8 as a key"),
        pytest.param("INSPECTOR_TILING__ROI_XY", "[" * 99999, "JSON is wanted for tiling.roi_xy", id="deep"),
        pytest.param(
            "INSPECTOR_DECISION__THRESHOLDS__CRACK",
            "1",
            "unknown variable: .*__CRACK; did you mean INSPECTOR_DECISION__THRESHOLDS\\?$",
            id="in a table",
        ),
    ],
)
def test_mistakes_in_the_environment(tmp_path: Path, name: str, value: str, told: str) -> None:
    """Unknown INSPECTOR_ variables are refused by name, ill-typed ones with their key; no secret is repeated."""
    with pytest.raises(ConfigError, match=told) as refusal:
        load(tmp_path, environ={name: value})

    assert "geheim" not in str(refusal.value)


def test_variables_that_are_no_settings_are_left_alone(tmp_path: Path) -> None:
    """Variables of tests, and of other programs, are nobody's configuration."""
    environ = {**dict.fromkeys(RESERVED_ENV, "x"), "PATH": "/bin", "INSPECTORS_CHOICE": "x"}

    assert load(tmp_path) == load(tmp_path, environ=environ)


def test_environment_values_are_read_by_type(tmp_path: Path) -> None:
    """Numbers, truths, optional values, tables and polygons come from text as they would from TOML."""
    environ = {
        "INSPECTOR_MQTT__PORT": "1999",
        "inspector_mqtt__enabled": "false",
        "INSPECTOR_SOURCE__MM_PER_PX": "0.5",
        "INSPECTOR_DECISION__THRESHOLDS": '{"crack": 0.5}',
        "INSPECTOR_TILING__ROI_XY": "[[0, 0], [9, 0], [9, 9]]",
    }
    settings = load(tmp_path, environ=environ)

    assert (settings.mqtt.port, settings.mqtt.enabled, settings.source.mm_per_px) == (1999, False, 0.5)
    assert (settings.decision.thresholds, settings.tiling.roi_xy) == ({"crack": 0.5}, ((0, 0), (9, 0), (9, 9)))


def test_a_stronger_table_replaces_a_weaker_one(tmp_path: Path) -> None:
    """A value is one value, also where it is a table: thresholds of two places are not mixed."""
    path = write(tmp_path, "\n[decision]\nmode = 'observe'\nthresholds = {crack = 0.5, hole = 0.6}")
    loaded = load_settings(path, environ={"INSPECTOR_DECISION__THRESHOLDS": '{"dent": 0.7}'})

    assert loaded.settings.decision.thresholds == {"dent": 0.7}
    assert loaded.origins["decision.thresholds"] == "env INSPECTOR_DECISION__THRESHOLDS"
    assert loaded.origins["decision.mode"] == str(path)


ORIGINS = ["default", "file", "credential", "env", "command line"]


@pytest.mark.parametrize("strongest", ORIGINS)
def test_order_of_origins(tmp_path: Path, strongest: str) -> None:
    """Command line before environment before credentials before file before default; the origin is told."""
    present = ORIGINS[: ORIGINS.index(strongest) + 1]
    (tmp_path / "http.token").write_text("x")
    text = "\n[http]\ntoken_file = '/from/file'" if "file" in present else ""
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)} if "credential" in present else {}
    if "env" in present:
        environ |= {"INSPECTOR_HTTP__TOKEN_FILE": "/from/env"}
    overrides = {"http.token_file": "/from/line"} if "command line" in present else {}
    loaded = load_settings(write(tmp_path, text), overrides, environ)
    path = None if loaded.settings.http.token_file is None else str(loaded.settings.http.token_file)
    expected = {
        "default": (None, "default"),
        "file": ("/from/file", str(tmp_path / "station.toml")),
        "credential": (str(tmp_path / "http.token"), "credential http.token"),
        "env": ("/from/env", "env INSPECTOR_HTTP__TOKEN_FILE"),
        "command line": ("/from/line", "command line"),
    }

    assert expected[strongest] == (path, loaded.origins["http.token_file"])


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A line PC below a folder: the station `cam1`, which needs its password, and the two stores of secrets."""
    for folder in ("inspector", "credstore", "run", "elsewhere"):
        (tmp_path / folder).mkdir()
    for path in ("inspector/cam1.toml", "inspector/cam2.toml", "inspector/cam1.bak", "elsewhere/cam1.toml"):
        (tmp_path / path).write_text(SMALLEST + "\n[mqtt]\nusername = 'u'\n")
    monkeypatch.setattr(places, "STATION_FOLDER", tmp_path / "inspector")
    monkeypatch.setattr(places, "CREDENTIAL_STORES", (tmp_path / "credstore", tmp_path / "run"))
    return tmp_path


@pytest.mark.parametrize(
    ("given", "config", "environ", "expected"),
    [
        pytest.param({"credstore"}, "inspector/cam1.toml", {}, "credstore", id="of this station"),
        pytest.param({"run"}, "inspector/cam1.toml", {}, "run", id="made since the boot"),
        pytest.param({"credstore", "run"}, "inspector/cam1.toml", {}, "credstore", id="the first store counts"),
        pytest.param(set(), "inspector/cam1.toml", {}, None, id="none there"),
        pytest.param({"credstore"}, "inspector/cam2.toml", {}, None, id="of another station"),
        pytest.param({"credstore"}, "elsewhere/cam1.toml", {}, None, id="no file of a unit: another folder"),
        pytest.param({"credstore"}, "inspector/cam1.bak", {}, None, id="no file of a unit: another ending"),
        pytest.param(
            {"credstore"}, "inspector/cam1.toml", {"CREDENTIALS_DIRECTORY": "/nowhere"}, None, id="systemd has the word"
        ),
    ],
)
def test_a_command_by_hand_finds_the_secrets_of_the_unit(
    machine: Path, given: set[str], config: str, environ: dict[str, str], expected: str | None
) -> None:
    """Without systemd's folder, the secrets of a station in /etc/inspector are those that its unit would load."""
    for store in given:
        (machine / store / "inspector.cam1.mqtt.password").write_text("geheim")
    loaded = load_settings(machine / config, environ=environ)
    found = None if expected is None else machine / expected / "inspector.cam1.mqtt.password"

    assert (loaded.settings.mqtt.password_file, loaded.origins["mqtt.password_file"]) == (
        found, "credential mqtt.password" if found else "default",
    )  # fmt: skip


def test_every_secret_of_the_unit_is_found_and_the_environment_outweighs_it(machine: Path) -> None:
    """Password, key, token and camera user, as the unit names them; a variable still comes first."""
    names = {
        "mqtt.password_file": "mqtt.password", "mqtt.key_file": "mqtt.key", "http.token_file": "http.token",
        "source.credentials_file": "source.credentials",
    }  # fmt: skip
    for name in names.values():
        (machine / "credstore" / f"inspector.cam1.{name}").write_text("geheim")
    environ = {"INSPECTOR_MQTT__CERT_FILE": "/c", "INSPECTOR_MQTT__TLS": "true", "INSPECTOR_HTTP__TOKEN_FILE": "/t"}
    origins = load_settings(machine / "inspector/cam1.toml", environ=environ).origins

    assert {key: origins[key] for key in names} == {
        **{key: f"credential {name}" for key, name in names.items()},
        "http.token_file": "env INSPECTOR_HTTP__TOKEN_FILE",
    }  # fmt: skip


def test_a_store_of_secrets_that_may_not_be_read_has_none(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody but root sees a station without secrets, and no traceback."""
    (machine / "credstore/inspector.cam1.mqtt.password").write_text("geheim")
    is_file = Path.is_file

    def refuse(path: Path) -> bool:
        if path.parent.name == "credstore":
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", refuse)  # root, who may run this, is refused nothing

    assert load_settings(machine / "inspector/cam1.toml", environ={}).settings.mqtt.password_file is None


def test_every_value_has_an_origin(tmp_path: Path) -> None:
    """Each key of each section is listed with where its value came from."""
    loaded = load_settings(write(tmp_path), environ={})
    expected = {
        f"{section}.{key}" for section, table in loaded.settings.model_dump().items() for key in table
    }  # fmt: skip

    assert expected == set(loaded.origins)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        pytest.param("\n[mqtt]\nport = 1883\nhost = '127.0.0.1'", True, id="defaults that are written down"),
        pytest.param("\n[mqtt]\nhost = '127.0.0.1'\nport = 1883\n", True, id="in another order"),
        pytest.param("\n# a remark\n", True, id="a remark"),
        pytest.param("\n[mqtt]\nport = 1884", False, id="another port"),
        pytest.param("\n[decision.thresholds]\ncrack = 0.5", False, id="another threshold"),
    ],
)
def test_the_fingerprint_names_the_settings(tmp_path: Path, text: str, same: bool) -> None:
    """The fingerprint depends on what is set, not on how or in which order it is written."""
    before = load(tmp_path).fingerprint()
    after = load(tmp_path, text).fingerprint()

    assert same is (before == after)
    assert re.fullmatch("[0-9a-f]{64}", after)


def test_the_order_of_a_table_does_not_matter(tmp_path: Path) -> None:
    """Thresholds in another order are the same settings."""
    one = load(tmp_path, "\n[decision.thresholds]\ncrack = 0.5\nhole = 0.6")
    two = load(tmp_path, "\n[decision.thresholds]\nhole = 0.6\ncrack = 0.5")

    assert one.fingerprint() == two.fingerprint()


def test_no_setting_holds_a_secret(tmp_path: Path) -> None:
    """Secrets are files: no key takes one, and neither settings nor fingerprint change with a file's content."""
    (tmp_path / "password").write_text("geheim")
    text = f"\n[mqtt]\nusername = 'u'\npassword_file = '{tmp_path / 'password'}'"
    before = load(tmp_path, text)
    (tmp_path / "password").write_text("other")
    keys = [f"{section}.{key}" for section, table in sections_of().items() for key in table]

    assert before.fingerprint() == load(tmp_path, text).fingerprint()
    assert "geheim" not in before.model_dump_json()
    assert [key for key in keys if re.search("password|secret|token|credential", key) and "_file" not in key] == []


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *((host, True) for host in ("localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1")),
        *((host, False) for host in ("0.0.0.0", "::", "10.0.0.1", "127.example.com", "127.", "localhost.example.com")),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    """Only what can mean nothing but this machine is loopback."""
    assert expected is is_loopback(host)


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        pytest.param("\n[store]\npath = '/data'", {"STATE_DIRECTORY": "/var/lib/x"}, "/data", id="configured"),
        pytest.param("", {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, "/var/lib/a", id="systemd's first"),
        pytest.param("", {"XDG_STATE_HOME": "/state"}, "/state/inspector/site-line-cam1", id="per station"),
    ],
)
def test_state_folder(tmp_path: Path, text: str, environ: dict[str, str], expected: str) -> None:
    """The store lies where the configuration says, else where systemd says, else below the state folder."""
    assert expected == str(state_folder(load(tmp_path, text), environ))


@pytest.mark.parametrize(
    ("file", "environ", "expected"),
    [
        pytest.param("/etc/inspector/cam7.toml", {}, "/var/lib/inspector/cam7", id="a unit's file"),
        pytest.param("/etc/inspector/cam7.toml", {"STATE_DIRECTORY": "/elsewhere"}, "/elsewhere", id="said otherwise"),
        pytest.param("/home/me/cam7.toml", {"XDG_STATE_HOME": "/s"}, "/s/inspector/site-line-cam1", id="any file"),
    ],
)
def test_the_state_of_a_unit(tmp_path: Path, file: str, environ: dict[str, str], expected: str) -> None:
    """A command that looks after a station's store finds it where systemd keeps it, by the file's name."""
    assert expected == str(state_folder(load(tmp_path, ""), environ, Path(file)))


def documented_blocks() -> list[str]:
    return [block for page in PAGES for block in re.findall(r"```toml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)]


@pytest.mark.parametrize("number", range(len(documented_blocks())))
def test_every_documented_configuration_loads(tmp_path: Path, number: int) -> None:
    """What README and reference show is taken as it stands."""
    block = documented_blocks()[number]

    assert load_settings(write(tmp_path, base=block), environ={}).settings.station.name


def rows_of(fields: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What the annotated file shows of these keys, what is read first."""
    names = sorted(fields, key=lambda key: key not in ("kind", "path"))
    return [(key, fields[key].description or "", "") for key in names]


def test_the_annotated_configuration_is_complete() -> None:
    """The reference's annotated file names every key in order, with its default and its description.

    The keys that only other kinds of source use are there as well, each kind together and commented out.
    """
    annotated = max(documented_blocks(), key=len)
    shown = re.findall(r"^(?:# )?([a-z_0-9]+) =.*?  # (.*)$|^\[([a-z]+)\]", annotated, re.MULTILINE)
    active: dict[str, Any] = {
        section: SOURCE_KINDS["folder"] if section == "source" else field.annotation
        for section, field in Settings.model_fields.items()
    }
    del active["labels"]
    recipe = active.pop("recipe")
    assert recipe == tuple[Recipe, ...]
    expected: list[tuple[str, str, str]] = []
    for section, model in active.items():
        expected += [("", "", section), *rows_of(model.model_fields)]
        others: tuple[type[SourceOptions], ...] = (CameraOptions, LinesOptions, DemoOptions)
        for other in others if section == "source" else ():
            own = {key: field for key, field in other.model_fields.items() if key not in SourceOptions.model_fields}
            expected += rows_of({"kind": other.model_fields["kind"], **own})
    values = tomllib.loads(annotated)
    given = {("station", key) for key in ("site", "line", "name")} | {("source", "kind"), ("source", "path")}
    defaults = {
        (section, key): field.default
        for section, model in active.items()
        for key, field in model.model_fields.items()
        if (section, key) not in given and field.default is not None
    }

    at = expected.index(("", "", "plant"))
    expected[at:at] = rows_of(LabelWords.model_fields)
    expected += rows_of(Recipe.model_fields)
    assert expected == shown
    assert {place: value if not isinstance(value, tuple) else list(value) for place, value in defaults.items()} == {
        (section, key): value
        for section, table in values.items()
        for key, value in table.items()
        if (section, key) not in given
    }
