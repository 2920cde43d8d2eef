"""The Debian package and the wheel without installing them: what is in them, and that they can be made again.

Installing, upgrading, downgrading and purging happen on a booted machine, in `systemd/`. The rule that makes a
downgrade possible is tested here: the version before opens what this one has written.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sqlite3
import subprocess
import tempfile
import zipfile
from pathlib import Path

import packages
import pytest
from fakes import FakeClock, entry

from inspector.store.schema import APPLICATION_ID, SCHEMA_VERSION
from inspector.store.store import Store

REPOSITORY = Path(__file__).resolve().parent.parent
MAX_DEB_BYTES = 120 << 20
"""With the quickest compression; the shipped one is about 86 MB."""
MAX_INSTALLED_BYTES = 300 << 20


@pytest.fixture(scope="module")
def deb() -> Path:
    """This tree's package."""
    if reason := packages.missing():
        pytest.skip(reason)
    return packages.this_package()


@pytest.fixture(scope="module")
def unpacked(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that it installs."""
    folder = tmp_path_factory.mktemp("unpacked")
    subprocess.run(("dpkg-deb", "--extract", deb, folder), check=True)
    return folder


def listing(deb: Path) -> dict[str, str]:
    """Return mode, owner and size by path."""
    lines = subprocess.run(("dpkg-deb", "--contents", deb), capture_output=True, text=True, check=True).stdout
    rows = (line.split(maxsplit=5) for line in lines.splitlines())
    return {row[5].split(" -> ")[0]: f"{row[0]} {row[1]} {row[2]}" for row in rows}


def control(deb: Path, field: str) -> str:
    """Return one field of the package."""
    command = ("dpkg-deb", "--field", deb, field)
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_same_tree_gives_the_same_package(deb: Path, tmp_path: Path) -> None:
    """Built again from another folder, in another place, under another umask and hash seed: byte for byte the same."""
    shutil.copytree(packages.tree(), tmp_path / "elsewhere")
    (tmp_path / "tmp").mkdir()
    different = {"TMPDIR": str(tmp_path / "tmp"), "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    again = packages.build(
        tmp_path / "out", tmp_path / "elsewhere", umask=0o077, DEB_COMPRESS=packages.QUICK, **different
    )

    assert (again.name, sha256(again)) == (deb.name, sha256(deb))


@pytest.mark.timeout(300)
def test_the_same_tree_gives_the_same_wheel(tmp_path: Path) -> None:
    """Twice the same bytes, with the bundle, the schemas and the page inside."""
    if reason := packages.missing():
        pytest.skip(reason)
    made = [
        packages.build(tmp_path / name, packages.tree(), "deploy/install/make-wheel.sh", umask=umask)
        for name, umask in (("a", 0o022), ("b", 0o077))
    ]
    inside = zipfile.ZipFile(made[0]).namelist()

    assert sha256(made[0]) == sha256(made[1])
    assert "inspector/py.typed" in inside
    assert any(name.startswith("inspector/bundles/") and name.endswith(".tflite") for name in inside)
    assert any(name.startswith("inspector/schemas/") for name in inside)
    assert "inspector/settings/example.toml" in inside
    assert any(name.endswith("share/man/man1/inspector.1") for name in inside)


@pytest.mark.timeout(600)
def test_the_package_holds_the_daemon_and_nothing_that_a_line_pc_never_runs(deb: Path) -> None:
    files = listing(deb)
    site = next(name.removesuffix("/inspector/cli.py") for name in files if name.endswith("/inspector/cli.py"))

    for wanted in (
        "./usr/bin/inspector", "./usr/lib/systemd/system/inspector@.service", "./usr/lib/sysusers.d/inspector.conf",
        "./usr/lib/tmpfiles.d/inspector.conf", "./etc/inspector/demo.toml", "./usr/share/doc/inspector/operations.md",
        "./usr/share/inspector/monitoring/targets.py",
        "./usr/share/inspector/monitoring/deploy/monitoring/tune.py",
        "./usr/share/doc/inspector/reference/configuration.md",
        "./usr/share/man/man1/inspector.1.gz", "./usr/share/man/man5/inspector.toml.5.gz",
        "./usr/share/bash-completion/completions/inspector", "./usr/share/doc/inspector/examples/every-key.toml",
        "./opt/inspector/venv/bin/inspector", f"{site}/ai_edge_litert/", f"{site}/cv2/",
    ):  # fmt: skip
        assert wanted in files
    for unwanted in (
        "/tensorflow/",
        "/keras/",
        "/training/",
        "__pycache__",
        "/pip/",
        "/setuptools/",
        "/amqtt/",
        "/pyarrow/",
        "/duckdb/",
        ".pyc",
    ):
        assert not [name for name in files if unwanted in name], unwanted
    assert all("root/root" in row for row in files.values())
    assert not [name for name, row in files.items() if row[0] == "-" and row[8] == "w"]


@pytest.mark.timeout(600)
def test_the_package_says_what_it_needs_and_keeps_what_was_edited(deb: Path, tmp_path: Path) -> None:
    """It depends on the Python that its compiled parts are for; the demo is a conffile; it is small."""
    subprocess.run(("dpkg-deb", "--control", deb, tmp_path), check=True)
    python = Path("/usr/bin/python3").resolve().name

    assert python in control(deb, "Depends").split(", ")
    assert (tmp_path / "conffiles").read_text().split() == ["/etc/inspector/demo.toml"]
    assert deb.stat().st_size < MAX_DEB_BYTES
    assert int(control(deb, "Installed-Size")) << 10 < MAX_INSTALLED_BYTES
    for script in ("preinst", "postinst", "prerm", "postrm"):
        assert "@" not in (tmp_path / script).read_text().replace("inspector@", "").replace('"$@"', "")
        subprocess.run(("sh", "-n", tmp_path / script), check=True)


@pytest.mark.timeout(600)
def test_no_file_of_the_package_names_the_folder_it_was_built_in(unpacked: Path) -> None:
    command = ("grep", "-rlE", f"{tempfile.gettempdir()}/(tmp[.]|inspector-deb-)", unpacked)
    found = subprocess.run(command, capture_output=True, text=True, check=False)

    assert found.stdout == ""


@pytest.mark.timeout(600)
def test_the_bill_of_materials_lists_what_the_wheels_bundle(unpacked: Path, tmp_path: Path) -> None:
    """Every locked requirement, the native libraries inside LiteRT, OpenCV and NumPy, and the models by hash."""
    (tmp_path / "out").mkdir()
    script = packages.tree() / "deploy/deb/sbom.sh"
    done = subprocess.run(
        (script, tmp_path / "out", unpacked / "opt/inspector/venv"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = (tmp_path / "out").iterdir()
    bill = json.loads(made.read_text())
    names = {one["name"].lower().replace("_", "-").replace(".", "-") for one in bill["components"]}
    lock = re.findall(r"^([a-z][\w.-]*)==", (REPOSITORY / "requirements/run.txt").read_text(), re.MULTILINE)
    left_out = {"setuptools", "colorama"}  # built with; Windows only
    models = [one for one in bill["components"] if one["type"] == "machine-learning-model"]

    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert {name.replace("_", "-").replace(".", "-") for name in lock} - left_out <= names
    assert {"ffmpeg", "openssl", "openblas", "xnnpack", "tensorflow lite", "libjpeg-turbo"} <= names
    assert models
    assert all(model["hashes"][0]["alg"] == "SHA-256" for model in models)


def test_the_version_before_opens_what_this_one_has_written(tmp_path: Path, clock: FakeClock) -> None:
    """A release may add tables, columns and indexes and keep `user_version`; then a downgrade finds its outbox again.

    `user_version` names the oldest program that can work with the file. It grows only in a release whose predecessor
    already knows the new number, so a step back of one version always opens.
    """
    store = Store(tmp_path, clock)
    store.commit([entry(0, "crack")])
    waiting = store.outbox.pending(0, 10)
    store.close()
    with sqlite3.connect(tmp_path / "inspector.sqlite3") as newer:
        tables = [row[0] for row in newer.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            newer.execute(f"ALTER TABLE {table} ADD COLUMN of_the_next_version TEXT")
        newer.execute("CREATE TABLE of_the_next_version (id INTEGER PRIMARY KEY)")
        newer.execute("CREATE INDEX next_one ON records (label)")
    newer.close()

    store = Store(tmp_path, clock)
    assert store.outbox.pending(0, 10) == waiting
    store.commit([entry(1, "crack")])
    store.notes.heartbeat()
    store.notes.remember("bundle", "f" * 64, "{}")
    store.outbox.acknowledge("mqtt", waiting[-1].seq)
    assert len(store.outbox.pending(waiting[-1].seq, 10)) == len(waiting)
    store.close()


def test_a_store_of_a_newer_schema_is_opened_where_it_permits(tmp_path: Path, clock: FakeClock) -> None:
    """Its `min_reader` says which programs can work with it; where this one cannot, it is set aside as it is."""
    store = Store(tmp_path, clock)
    store.commit([entry(0)])
    store.close()
    change_store(tmp_path / "inspector.sqlite3", f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    store = Store(tmp_path, clock)
    opened = store.aside is None and len(store.outbox.pending(0, 9)) == 1
    store.close()
    change_store(tmp_path / "inspector.sqlite3", "UPDATE meta SET value = 2 WHERE key = 'min_reader'")
    store = Store(tmp_path, clock)
    aside = store.aside
    store.close()

    assert opened
    assert aside is not None
    assert aside.reason.startswith(f"written by a newer inspector, schema {SCHEMA_VERSION + 1}")
    with sqlite3.connect(tmp_path / aside.file) as kept:
        assert kept.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION + 1
        assert kept.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    kept.close()


def change_store(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as db:
        db.execute(statement)
    db.close()
