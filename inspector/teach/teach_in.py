"""A teach-in of a running station, as it stands: one small file, so that a killed station continues with it.

`inspector teach` and `inspector check` read the same file; only the station writes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inspector.teach.durable import write_file

FILE = "teach-in.json"
"""In the folder of the references."""
TILES_FILE = "teach-in.tiles"
LOCK_FILE = "teach.lock"
"""Held while anybody teaches this station: it itself, or `inspector teach`."""
NAMED, STILLS = "coil:", "stills:"
"""Begin the names of what a coil is: named by the plant, or stills of a piece of time, each of which stands alone."""
MAX_BYTES = 1 << 16

State = Literal["collecting", "fitting", "candidate", "accepted", "refused", "cancelled"]


class TeachIn(BaseModel):
    """What was asked for, how far it is, and what came of it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    schema_: Literal["inspector/teach-in/1"] = Field(default="inspector/teach-in/1", alias="schema")
    id: str = Field(pattern=r"^[0-9]{1,16}$")
    """Tells one teach-in from another: the moment of its start, ms since 1970."""
    state: State
    by: str = Field(max_length=200)
    """Who asked for it."""
    started_at: str
    until: str
    """When it stops collecting; RFC 3339, UTC."""
    until_ms: int
    false_calls_per_km: float | None = None
    accept: bool = False
    """Whether the candidate counts at once."""
    capacity: int = Field(ge=1, le=3000)
    """Most tiles."""
    tile_hw: tuple[int, int] | None = None
    """Height and width of its tiles, from the first one on."""
    frames: int = 0
    """Frames that were offered."""
    tiles: int = 0
    coils: int = 0
    """Coils, or what stood for them."""
    coils_known: bool = True
    """Whether a coil was named for every frame."""
    tiles_across: int = 1
    """Tiles side by side over the width of a frame."""
    tiles_seen: int = 0
    """Tiles of the frames that were offered."""
    fits: int = 0
    """How often a process has begun to fit it."""
    trouble: str | None = None
    """What went wrong meanwhile: a disk that is full."""
    reference: str | None = None
    """Hash of the candidate, as messages carry it."""
    text: str | None = None
    """What came of it, for a person."""

    @property
    def under_way(self) -> bool:
        """Whether it collects or fits."""
        return self.state in ("collecting", "fitting")

    @property
    def summary(self) -> str:
        """How it stands, in one line."""
        shown = f"{self.tiles} tiles of {f'{self.coils} coils' if self.coils_known else 'unknown coils'}"
        if self.state == "collecting":
            trouble = "" if self.trouble is None else f"; the disk refuses more: {self.trouble}"
            return f"a teach-in collects until {self.until}: {shown} so far{trouble}"
        if self.state == "fitting":
            return f"a teach-in fits {shown}"
        return f"the last teach-in: {self.state}" + (f": {self.text.partition('; ')[0]}" if self.text else "")


def read_teach_in(folder: Path) -> TeachIn | None:
    """Return the last teach-in of a station, or None: there was none, or its file cannot be read."""
    path = folder / FILE
    try:
        if path.stat().st_size > MAX_BYTES:
            return None
        return TeachIn.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def write_teach_in(folder: Path, teach_in: TeachIn) -> None:
    """Write how it stands.

    Raises:
        OSError: The disk is full, or cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / FILE, (teach_in.model_dump_json(by_alias=True, indent=1) + "\n").encode())
