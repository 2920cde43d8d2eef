"""The units without booting anything: what systemd-analyze says of them, and what they promise by name."""

from __future__ import annotations

import ast
import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from inspector.errors import EXIT_REFUSED
from inspector.settings.loading import CREDENTIALS, load_settings
from inspector.station.station import PUBLISH_AT_STOP_S

REPOSITORY = Path(__file__).resolve().parent.parent
UNITS = REPOSITORY / "systemd"
DROP_INS = sorted((UNITS / "drop-ins").glob("*.conf"))
EXAMPLES = sorted((REPOSITORY / "deploy/install").rglob("*.toml"))
OLDEST = 252

analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="not installed: systemd-analyze")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The units as they would lie on a machine that has the program."""
    for unit in (*UNITS.glob("*.service"), *UNITS.glob("*.timer"), *UNITS.glob("*.target")):
        text = re.sub(r"/opt/inspector[\w/-]*/bin/inspector", "/bin/true", unit.read_text())
        (tmp_path / unit.name).write_text(text)
    return tmp_path


def add_drop_in(folder: Path, drop_in: Path) -> None:
    (folder / "inspector@.service.d").mkdir(exist_ok=True)
    shutil.copy(drop_in, folder / "inspector@.service.d")


def run_analyze(folder: Path, *command: str) -> str:
    """Run systemd-analyze on the units of a folder; they must not be refused."""
    environ = {"SYSTEMD_UNIT_PATH": f"{folder}:", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ("systemd-analyze", *command), cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def service() -> dict[str, list[str]]:
    """Return the settings of [Service], each with all its values."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / "inspector@.service").read_text().split("[Service]")[1].split("[Install]")[0].splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@analyze
def test_systemd_has_nothing_to_say_about_the_units(folder: Path) -> None:
    names = ("inspector@.service", "inspector-strip@.service", "inspector-archive@.service", "inspector-archive@.timer",
             "inspector.target")  # fmt: skip

    assert run_analyze(folder, "verify", *(f"./{name}" for name in names)) == ""


@analyze
@pytest.mark.parametrize("drop_in", DROP_INS, ids=lambda path: path.stem)
def test_systemd_understands_each_drop_in(folder: Path, drop_in: Path) -> None:
    """The one with growing delays is for 254 and later; older ones say so and go on."""
    add_drop_in(folder, drop_in)
    version = int(re.search(r"systemd (\d+)", run_analyze(folder, "--version")).group(1))  # type: ignore[union-attr]
    said = run_analyze(folder, "verify", "./inspector@.service")

    if "growing" in drop_in.name and version < 254:
        assert all("Unknown key" in line and "'Restart" in line for line in said.splitlines())
    else:
        assert said == ""


@analyze
@pytest.mark.parametrize(
    ("drop_in", "limit"), [(None, 1.7), ("v4l2-camera.conf", 1.9)], ids=["without a camera", "with a V4L2 camera"]
)
def test_the_service_is_not_exposed(folder: Path, drop_in: str | None, limit: float) -> None:
    """0.4 of it is that the unit may ask the kernel about its clock; to set it takes a capability that it lacks."""
    if drop_in:
        add_drop_in(folder, UNITS / "drop-ins" / drop_in)
    said = run_analyze(folder, "security", "--offline=true", "./inspector@.service")
    exposure = float(re.search(r"Overall exposure level .*: ([\d.]+)", said).group(1))  # type: ignore[union-attr]

    assert exposure <= limit


def test_the_service_promises_what_the_daemon_needs() -> None:
    """The values that the daemon's own constants and systemd 252 ask for."""
    found = service()
    expected = {
        "Type": "notify",
        "NotifyAccess": "main",
        "ExecReload": "kill -HUP $MAINPID",
        "Restart": "always",
        "RestartSec": "1",
        "RestartPreventExitStatus": str(EXIT_REFUSED),
        "StateDirectory": "inspector/%i",
        "User": "inspector",
    }

    assert {key: found[key] for key in expected} == {key: [value] for key, value in expected.items()}
    assert "StartLimitIntervalSec=0" in (UNITS / "inspector@.service").read_text()
    assert int(found["TimeoutStopSec"][0]) > 30 + PUBLISH_AT_STOP_S + 2  # the waits of a stop, one after the other
    assert not {"RestartSteps", "RestartMaxDelaySec"} & set(found), f"unknown to systemd {OLDEST}"


def test_every_secret_of_the_settings_is_loaded_as_a_credential() -> None:
    """Each by a relative name: a secret that is not there is left out, where an absolute path would end the start."""
    loaded = dict(value.split(":") for value in service()["LoadCredential"])

    assert loaded == {name: f"inspector.%i.{name}" for name in CREDENTIALS}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_a_good_configuration(example: Path) -> None:
    loaded = load_settings(example, environ={})

    assert loaded.settings.http.port
    assert loaded.warnings == ()


def test_examples_and_demo_may_run_side_by_side() -> None:
    """No two of them share a port, a topic root or a watched folder."""
    all_settings = [load_settings(example, environ={}).settings for example in EXAMPLES]
    for values in (
        [one.http.port for one in all_settings],
        [one.root for one in all_settings],
        [getattr(one.source, "path", one.source.kind) for one in all_settings],
    ):
        assert len(set(values)) == len(EXAMPLES)


def test_a_camera_that_is_plugged_in_after_the_start_is_allowed() -> None:
    """The class of devices that DeviceAllow= names is known to the kernel first: systemd looks it up at the start."""
    text = (UNITS / "drop-ins/v4l2-camera.conf").read_text()

    assert re.search(r"^DeviceAllow=char-video4linux ", text, re.MULTILINE)
    for key in ("Wants", "After"):
        assert re.search(rf"^{key}=modprobe@videodev\.service$", text.split("[Service]")[0], re.MULTILINE)


@pytest.mark.parametrize("drop_in", DROP_INS, ids=lambda path: path.stem)
def test_every_drop_in_says_what_it_is_for(drop_in: Path) -> None:
    assert drop_in.read_text().startswith("# ")
    parser = configparser.ConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(drop_in.read_text())
    assert "Service" in parser


def test_the_operations_page_explains_every_event_of_the_log() -> None:
    """No event is logged that `docs/operations.md` does not list, and none is listed that is never logged."""
    logged = set()
    for file in (REPOSITORY / "inspector").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="_log")), args=[ast.Constant(value=str(event)), *_]):
                    logged.add(event)
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="_log")),
                    args=[ast.IfExp(body=ast.Constant(value=str(one)), orelse=ast.Constant(value=str(other))), *_],
                ):
                    logged |= {one, other}
                case ast.arg(arg="begins", annotation=ast.Subscript(slice=ast.Tuple(elts=words))):  # logged as it is
                    logged |= {str(word.value) for word in words if isinstance(word, ast.Constant)}
    page = (REPOSITORY / "docs/operations.md").read_text("utf-8").split("## Every event of the log")[1]
    listed = {
        name for row in page.splitlines() if row.startswith("| `") for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }

    assert listed == logged
