"""`inspector backup`: all that another PC needs to continue this station, in one file, while the station runs."""

from __future__ import annotations

import json
import os
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import inspector
from inspector.clock import SystemClock, to_rfc3339
from inspector.commands.archive import MANIFEST, SCHEMA, Entry, add_file, mode_of
from inspector.errors import ConfigError
from inspector.model.bundle import find_bundle, load_bundle
from inspector.settings.loading import Loaded, load_settings
from inspector.settings.places import state_folder
from inspector.store.backup import LEFT_OUT, copy_store
from inspector.store.database import DATABASE
from inspector.teach.durable import held_lock
from inspector.teach.files import BEGUN, LOCK
from inspector.teach.files import FOLDER as REFERENCES
from inspector.teach.teach_in import FILE as TEACH_IN
from inspector.teach.teach_in import LOCK_FILE, TILES_FILE

SECRET_KEYS = ("password_file", "key_file", "token_file", "credentials_file")
"""Keys that name a file with a secret, in any section."""
PUBLIC_KEYS = ("ca_file", "cert_file")
"""Keys that name a file without one: it is in the archive."""
STATE, BUNDLE, FILES, SECRETS = "state", "bundle", "files", "secrets"
"""Folders of the archive; the configuration is `station.toml`."""
CONFIGURATION = "station.toml"
KEPT_APART = (*LEFT_OUT, "jsonl", REFERENCES)
"""Parts of the store's folder that are not copied with it: made anew, no memory, or added on their own."""


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What was written.

    Attributes:
        archive: The file.
        size: Its bytes.
        station: site/line/name.
        files: How many files are in it.
        messages: The store's last message.
        pictures: How many of the files are evidence.
        secrets: Files with secrets that are named in it and not contained.
    """

    archive: str
    size: int
    station: str
    files: int
    messages: int
    pictures: int
    secrets: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


def back_up(config: Path, output: Path, with_secrets: bool = False) -> BackedUp:
    """Write the archive; the station may run. An existing file is replaced when the new one is complete.

    Raises:
        ConfigError: The configuration, or the name of the archive, is refused.
        StoreError: There is no store.
        StoreBusyError: The store cannot be read now.
        OSError: The archive cannot be written.
    """
    loaded = load_settings(config)
    folder, mode = state_folder(loaded.settings, unit_file=config), mode_of(output)
    named = _named_files(loaded)
    partial = output.with_name(output.name + ".partial")
    entries: list[Entry] = []
    with tempfile.TemporaryDirectory(prefix="inspector-", dir=_room()) as work:
        copy = Path(work) / DATABASE
        _give(Path(work), folder)
        copied = copy_store(folder, copy)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode=mode) as tar:
                entries.append(add_file(tar, config, CONFIGURATION))
                entries.append(add_file(tar, copy, f"{STATE}/{DATABASE}"))
                entries += _add_folder(tar, folder, STATE, loaded)
                entries += _add_references(tar, folder / REFERENCES)
                entries += _add_folder(tar, find_bundle(loaded.settings.model.path), BUNDLE, None)
                for key, path, secret in named:
                    if path.is_file() and (with_secrets or not secret):
                        entries.append(add_file(tar, path, f"{SECRETS if secret else FILES}/{key}"))
                manifest = {
                    "schema": SCHEMA,
                    "created_at": to_rfc3339(SystemClock().now()),
                    "version": inspector.__version__,
                    "station": loaded.settings.station.text,
                    "root": loaded.settings.root,
                    "configuration": config.name,
                    "state": str(folder),
                    "model": loaded.settings.model.path,
                    "bundle": load_bundle(find_bundle(loaded.settings.model.path)).fingerprint,
                    "store": asdict(copied),
                    "named": [{"key": key, "path": str(path), "secret": secret} for key, path, secret in named],
                    "files": [asdict(entry) for entry in entries],
                }
                data = json.dumps(manifest, indent=1, sort_keys=True).encode()
                info = tarfile.TarInfo(MANIFEST)
                info.size = len(data)
                tar.addfile(info, BytesIO(data))
            file.flush()
            os.fsync(file.fileno())
    partial.replace(output)
    missing = tuple(f"{key}: {path}" for key, path, secret in named if secret and not with_secrets)
    pictures = sum(entry.name.startswith(f"{STATE}/evidence/") for entry in entries)
    return BackedUp(
        str(output), output.stat().st_size, loaded.settings.station.text, len(entries), copied.seq, pictures, missing
    )


def _named_files(loaded: Loaded) -> list[tuple[str, Path, bool]]:
    """Return the files that the configuration names: key, path, and whether it holds a secret."""
    found = []
    for key, value in loaded.items():
        name = key.rpartition(".")[2]
        if isinstance(value, Path) and name in (*SECRET_KEYS, *PUBLIC_KEYS):
            found.append((key, value, name in SECRET_KEYS))
    return found


def _add_folder(tar: tarfile.TarFile, folder: Path, name: str, loaded: Loaded | None) -> Iterator[Entry]:
    """Add all files of a folder; of the store's, not what a restore makes anew, nor message files."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        place = path.relative_to(folder)
        if loaded is not None and (place.parts[0].startswith(DATABASE) or place.parts[0] in KEPT_APART):
            continue
        try:
            yield add_file(tar, path, f"{name}/{place.as_posix()}")
        except FileNotFoundError:
            continue  # a picture that was deleted meanwhile


def _add_references(tar: tarfile.TarFile, folder: Path) -> list[Entry]:
    """Add the station's references as they are between two changes; a teach-in that is under way is not among them."""
    if not folder.is_dir():
        return []
    with held_lock(folder / LOCK, wait=True):
        return [
            add_file(tar, path, f"{STATE}/{REFERENCES}/{path.relative_to(folder).as_posix()}")
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.is_symlink() and not _passing(path.relative_to(folder))
        ]


def _passing(place: Path) -> bool:
    """Say whether a file of the references is there for the time of a change, or of a teach-in."""
    if place.parts[0] == BEGUN:  # what a power cut has interrupted is carried to its end wherever it is restored
        return False
    return any(part.startswith(".") for part in place.parts) or place.name in (TEACH_IN, TILES_FILE, LOCK_FILE)


def _room() -> str | None:
    return "/var/tmp" if os.access("/var/tmp", os.W_OK) else None  # noqa: S108 - a folder with a name of its own


def _give(work: Path, folder: Path) -> None:
    """Let the owner of the store write its copy, where root runs the command."""
    if os.geteuid() == 0 and (folder / DATABASE).is_file():
        owner = (folder / DATABASE).stat()
        os.chown(work, owner.st_uid, owner.st_gid)


def require_archive(path: Path) -> None:
    """Refuse a path that is no file.

    Raises:
        ConfigError: So it is.
    """
    if not path.is_file():
        raise ConfigError(f"no such archive: {path}")
