"""`inspector restore`: a station from its archive, on a PC that has the package and nothing else.

Everything is checked before anything is put in its place, and the store comes last: a station that starts too early has
none. The store begins anew: another `store_id`, another epoch, waiting messages first, under their old numbers.
"""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inspector.commands.archive import extract, opened, read_manifest
from inspector.commands.backup import BUNDLE, CONFIGURATION, FILES, SECRETS, STATE, require_archive
from inspector.errors import BundleError, StoreError
from inspector.model.bundle import find_bundle, load_bundle
from inspector.settings.loading import load_settings
from inspector.settings.places import STATION_FOLDER, STATION_STATE, state_folder
from inspector.store.backup import begin_anew, claimed
from inspector.store.database import DATABASE

UNIT_USER = "inspector"


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored.

    Attributes:
        station: site/line/name.
        configuration: The file.
        store: The folder.
        store_id: Of the store that begins there.
        backed_up_at: When the archive was written.
        files: How many files were written.
        missing: Files that the configuration names and that are not there: secrets, mostly.
    """

    station: str
    configuration: str
    store: str
    store_id: str
    backed_up_at: str
    files: int
    missing: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


def restore(archive: Path, config_folder: Path = STATION_FOLDER, force: bool = False) -> Restored:
    """Put a station's configuration, bundle, evidence and store in their places.

    Args:
        archive: Of `inspector backup`.
        config_folder: Where the configuration goes, under the name that it had.
        force: Replace a configuration that differs, and set a store that is there aside.

    Raises:
        StoreError: The archive is damaged, or a store is there already or in use.
        ConfigError: The configuration in it is refused.
        OSError: A place cannot be written.
    """
    require_archive(archive)
    with opened(archive) as tar, tempfile.TemporaryDirectory(prefix="inspector-", dir=_room(archive)) as work:
        manifest = read_manifest(tar, archive)
        unpacked = Path(work)
        extract(tar, manifest, unpacked)
        config = config_folder / Path(str(manifest["configuration"])).name
        settings = load_settings(unpacked / CONFIGURATION).settings
        folder = state_folder(settings, unit_file=config)
        _require_free(folder, force)
        written = _place_bundle(unpacked / BUNDLE, settings.model.path, str(manifest["bundle"]))
        written += _place_file(unpacked / CONFIGURATION, config, force)
        written += _place_named(unpacked, manifest, force)
        store_id, count = _place_state(unpacked / STATE, folder, force)
    missing = [f"{row['key']}: {row['path']}" for row in manifest["named"] if not Path(row["path"]).exists()]
    return Restored(
        str(manifest["station"]), str(config), str(folder), store_id, str(manifest["created_at"]), written + count,
        tuple(missing),
    )  # fmt: skip


def _place_file(source: Path, target: Path, force: bool) -> int:
    """Copy a file to its place, unless it is there already."""
    if target.exists() and target.read_bytes() == source.read_bytes():
        return 0
    if target.exists() and not force:
        raise StoreError(f"{target} exists and differs: --force replaces it")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    shutil.copyfile(source, partial)
    partial.chmod(0o640 if source.parent.name == SECRETS else 0o644)
    partial.replace(target)
    return 1


def _place_named(unpacked: Path, manifest: Mapping[str, Any], force: bool) -> int:
    """Put certificates, and secrets where the archive has them, where the configuration names them."""
    count = 0
    for row in manifest["named"]:
        source = unpacked / (SECRETS if row["secret"] else FILES) / str(row["key"])
        if source.is_file():
            count += _place_file(source, Path(str(row["path"])), force)
    return count


def _place_bundle(source: Path, model: str, fingerprint: str) -> int:
    """Put the bundle where the configuration names it, unless the same one is there.

    Raises:
        StoreError: Another bundle has this name here.
    """
    try:
        if load_bundle(find_bundle(model)).fingerprint == fingerprint:
            return 0
        raise StoreError(f"model.path: {model} is another bundle here: move it away, or install the same package")
    except BundleError:
        if "/" not in model:
            raise
    target = Path(model)
    files = [path for path in source.rglob("*") if path.is_file()]
    for path in files:
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
        place.chmod(0o644)
    return len(files)


def _place_state(source: Path, folder: Path, force: bool) -> tuple[str, int]:
    """Put the store and what lies beside it in the station's folder; return its `store_id` and how many files."""
    folder.mkdir(parents=True, exist_ok=True)
    with claimed(folder):
        path = folder / DATABASE
        _require_free(folder, force)
        files = [one for one in sorted(source.rglob("*")) if one.is_file() and one != source / DATABASE]
        for one in files:
            target = folder / one.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(one, target)
            shutil.copystat(one, target)
        ready = path.with_name(f"{DATABASE}.restored")
        shutil.copyfile(source / DATABASE, ready)
        store_id = begin_anew(ready)
        with ready.open("rb") as file:
            os.fsync(file.fileno())
        _set_previous_aside(path)
        ready.replace(path)
        _give_to_unit(folder)
    return store_id, len(files) + 1


def _require_free(folder: Path, force: bool) -> None:
    if (folder / DATABASE).exists() and not force:
        raise StoreError(f"{folder} holds a store already: --force sets it aside")


def _set_previous_aside(path: Path) -> None:
    if not path.exists():
        return
    stem = next(f"{path.name}.aside-restored-{n}" for n in range(1, 1000)
                if not path.with_name(f"{path.name}.aside-restored-{n}").exists())  # fmt: skip
    for part in ("-wal", "-shm", ""):
        if (old := path.with_name(path.name + part)).exists():
            old.rename(path.with_name(stem + part))
    path.with_name("last-seq").unlink(missing_ok=True)


def _give_to_unit(folder: Path) -> None:
    """Let the unit's user own its state, where root restores a unit's station."""
    if os.geteuid() != 0 or folder.parent != STATION_STATE:
        return
    try:
        user = pwd.getpwnam(UNIT_USER)
    except KeyError:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def _room(archive: Path) -> Path:
    """Return a folder for the unpacked archive: the archive's own, which has room for its size at least."""
    return archive.absolute().parent if os.access(archive.absolute().parent, os.W_OK) else Path(tempfile.gettempdir())
