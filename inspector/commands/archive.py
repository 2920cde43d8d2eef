"""The archive of `backup` and `restore`: a tar file with a manifest that has the hash of every file in it."""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from inspector.errors import ConfigError, StoreError

MANIFEST = "manifest.json"
SCHEMA = "inspector/backup/1"
_MAX_MANIFEST_BYTES = 64 << 20
_MODES: Mapping[str, Any] = {".tar": "w:", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.xz": "w:xz", ".tar.zst": "w:zst"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of an archive.

    Attributes:
        name: Its name there, as `state/evidence/x.jpg`.
        size: Bytes.
        sha256: Of its bytes.
    """

    name: str
    size: int
    sha256: str


def mode_of(path: Path) -> Literal["w:gz"]:
    """Return how to write an archive of this name.

    Raises:
        ConfigError: No such kind, or this Python cannot write it.
    """
    suffix = next((end for end in sorted(_MODES, key=len, reverse=True) if path.name.endswith(end)), None)
    if suffix is None:
        raise ConfigError(f"--output: a name that ends in {', '.join(_MODES)} is expected: {path.name}")
    if suffix == ".tar.zst" and sys.version_info < (3, 14):
        raise ConfigError(f"--output: .tar.zst needs Python 3.14; use .tar.gz: {path.name}")
    mode: Literal["w:gz"] = _MODES[suffix]
    return mode


def add_file(tar: tarfile.TarFile, path: Path, name: str) -> Entry:
    """Add a file, and return its entry: what was written, not what the file is by now.

    Raises:
        OSError: It cannot be read.
    """
    info = tar.gettarinfo(path, name)
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    with path.open("rb") as file:
        reader = _Hashing(file)
        tar.addfile(info, reader)
    return Entry(name, info.size, reader.digest.hexdigest())


class _Hashing:
    """A file that hashes what is read of it."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.read(size)
        self.digest.update(data)
        return data


@contextmanager
def opened(path: Path) -> Iterator[tarfile.TarFile]:
    """Open an archive for reading.

    Raises:
        StoreError: It is none, or is cut off or damaged.
    """
    try:
        with tarfile.open(path, "r:*") as tar:
            yield tar
    except (tarfile.TarError, EOFError, OSError) as exc:
        if isinstance(exc, OSError) and exc.filename is not None:
            raise
        raise StoreError(f"{path}: not a whole archive of `inspector backup`: {exc}") from exc


def read_manifest(tar: tarfile.TarFile, path: Path) -> dict[str, Any]:
    """Return the manifest.

    Raises:
        StoreError: There is none that this program understands.
    """
    try:
        member = tar.getmember(MANIFEST)
        file = tar.extractfile(member)
        if file is None or member.size > _MAX_MANIFEST_BYTES:
            raise KeyError(MANIFEST)
        manifest = dict(json.load(file))
    except (KeyError, ValueError) as exc:
        raise StoreError(f"{path}: not an archive of `inspector backup`: no {MANIFEST}") from exc
    if manifest.get("schema") != SCHEMA:
        raise StoreError(f"{path}: {manifest.get('schema')!r} is not {SCHEMA}: a newer inspector has written it")
    return manifest


def extract(tar: tarfile.TarFile, manifest: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write the files of an archive below a folder, each checked by its hash, and return them.

    Raises:
        StoreError: One is missing, differs from the manifest, or would lie outside.
    """
    written = []
    for row in manifest["files"]:
        name, sha256 = str(row["name"]), str(row["sha256"])
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts:
            raise StoreError(f"the archive has a file outside of its folder: {name}")
        try:
            file = tar.extractfile(name)
        except KeyError:
            file = None
        if file is None:
            raise StoreError(f"the archive lacks a file of its manifest: {name}")
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with target.open("wb") as out:
            while data := file.read(1 << 20):
                digest.update(data)
                out.write(data)
        if digest.hexdigest() != sha256:
            raise StoreError(f"the archive is damaged: {name} is not what was backed up")
        written.append(target)
    return written
