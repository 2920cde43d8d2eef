"""Debian packages to test with: the one of this tree, and one that claims to be the next version."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
QUICK = "-Zzstd -z1"


def missing() -> str:
    """Say what keeps a package from being built here, or nothing."""
    python = Path("/usr/bin/python3")
    if not python.exists() or shutil.which("dpkg-deb") is None:
        return "the release's own python3 and dpkg-deb are needed to build a Debian package"
    probe = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"
    if subprocess.run((str(python), "-c", probe), capture_output=True, check=False).returncode:
        return "not installed: python3-venv for a Python of 3.11 or newer"
    return ""


@lru_cache(maxsize=1)
def this_package() -> Path:
    """Return the package of this tree, built once a run."""
    return build(_scratch() / "out", tree(), DEB_COMPRESS=QUICK)


@lru_cache(maxsize=1)
def tree() -> Path:
    """Return a copy of this tree as it is now: what is built twice is the same, whoever edits beside."""
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(listed, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split("\0")
    folder = _scratch() / "tree"
    for name in names:
        if name and (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
    return folder


@lru_cache(maxsize=1)
def _scratch() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="inspector-deb-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def build(into: Path, source: Path, script: str = "deploy/deb/build.sh", umask: int = 0o022, **environ: str) -> Path:
    """Run one of the build scripts of a source tree and return the file that it made."""
    fixed = {"PYTHON": "/usr/bin/python3", "SOURCE_DATE_EPOCH": "1790000000"}
    done = subprocess.run(
        (source / script, into), env={**os.environ, **fixed, **environ}, umask=umask, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = into.iterdir()
    return made


def as_next_version(package: Path, made: Path, version: str) -> Path:
    """Write a copy of a package whose version, and that of the program inside, is `version`."""
    root = made.with_suffix(".root")
    subprocess.run(("dpkg-deb", "--raw-extract", package, root), check=True)
    control = root / "DEBIAN/control"
    lines = control.read_text().splitlines(keepends=True)
    control.write_text("".join(f"Version: {version}-1\n" if line.startswith("Version:") else line for line in lines))
    (program,) = root.glob("opt/inspector/venv/lib/python3*/site-packages/inspector/__init__.py")
    text = program.read_text()
    before = text.split('__version__ = "')[1].split('"')[0]
    program.write_text(text.replace(f'"{before}"', f'"{version}"'))
    command = ("dpkg-deb", "--root-owner-group", *QUICK.split(), "--build", str(root), str(made))
    subprocess.run(command, check=True, capture_output=True)
    shutil.rmtree(root)
    return made
