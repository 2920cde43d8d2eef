"""Files and folders that are whole after a power cut, or as they were before.

A folder is made beside its place and renamed into it. What takes several renames is written down first and carried to
its end by whoever comes next, so that a station is never left without the reference that it had.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from inspector.errors import LessonError

Bytes = bytes | memoryview


def write_file(path: Path, data: Bytes) -> None:
    """Write a file beside its place, synced, and rename it into it.

    Raises:
        OSError: With the file's name: the disk is full, or cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        give_away(beside)
        beside.replace(path)
    except OSError as exc:
        beside.unlink(missing_ok=True)
        raise OSError(exc.errno, exc.strerror, str(path)) from exc
    sync_folder(path.parent)


def write_folder(place: Path, files: Mapping[str, Bytes]) -> None:
    """Put a folder with these files in its place; one that was there is replaced.

    Raises:
        OSError: With the name of the file that cannot be written; what was there is untouched.
    """
    beside = place.with_name(f".{place.name}.{os.getpid()}")
    for left in place.parent.glob(f".{place.name}.*"):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        give_away(beside)
        for name, data in files.items():
            write_file(beside / name, data)
    except KeyboardInterrupt:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    except OSError as exc:
        shutil.rmtree(beside, ignore_errors=True)
        raise OSError(exc.errno, exc.strerror, str(place / Path(exc.filename or "").name)) from exc
    remove_folder(place)
    beside.rename(place)
    sync_folder(place.parent)


def remove_folder(place: Path) -> None:
    """Remove a folder at once for whoever looks for it under its name, then its files."""
    if place.is_dir():
        away = place.with_name(f".{place.name}.gone.{os.getpid()}")
        shutil.rmtree(away, ignore_errors=True)
        place.rename(away)
        shutil.rmtree(away, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def give_away(path: Path) -> None:
    """Let the owner of the folder own what root makes in it: a station runs as a user of its own."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


@contextmanager
def held_lock(file: Path, wait: bool, busy: str = "") -> Iterator[None]:
    """Hold a lock file; it is free again when the process ends, however it ends.

    Args:
        file: Made if it is not there.
        wait: Wait for another holder, who holds it for moments only.
        busy: What to say if another one holds it.

    Raises:
        LessonError: Another one holds it.
        OSError: It cannot be made.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    try:
        give_away(file)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as exc:
            raise LessonError(f"{busy}: {file}") from exc
        yield
    finally:
        os.close(descriptor)
