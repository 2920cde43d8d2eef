"""The section `[source]`: one class of options for each `kind`, with the keys that this kind uses and no others.

A source is given the options of its own kind. A key that only another kind uses is ignored with a warning; the next
release refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from inspector.pictures.limits import MAX_FILE_BYTES, MAX_FRAME_PX
from inspector.settings.section import Section

OPEN_TIMEOUT_S, READ_TIMEOUT_S = 5.0, 2.0
"""Time-outs unless they are configured; sources that have none are given as much time by the watchdog."""
Disposal = Literal["keep", "move", "delete"]
MaxFileBytes = Annotated[int, Field(ge=1024, description="Larger picture files are refused.")]
OpenTimeout = Annotated[float, Field(gt=0, le=120, description="Longest wait for it to open.")]
FrameLines = Annotated[int, Field(ge=16, le=65536, description="Lines of one frame.")]
OverlapLines = Annotated[int, Field(ge=0, le=32768, description="Lines shared with the previous frame.")]


class SourceOptions(Section):
    """Where frames come from."""

    kind: str
    max_frame_px: int = Field(default=MAX_FRAME_PX, ge=1024, description="Frames with more pixels are refused.")
    full_scale: int | None = Field(
        default=None, ge=256, le=65535, description="Value that is white in 16-bit pictures; unset: the upper 8 bits."
    )
    mm_per_px: float | None = Field(default=None, gt=0, le=100, description="Another name of strip.mm_per_px.")

    @property
    def patience_s(self) -> float:
        """How long opening and one read may take by these options."""
        return OPEN_TIMEOUT_S + READ_TIMEOUT_S

    @property
    def remote(self) -> bool:
        """Whether a name may have to be resolved before it opens."""
        return False


class PathOptions(SourceOptions):
    """Where frames come from: a path."""

    path: str = ""
    independent: bool | None = Field(
        default=None, description="Each frame shows another piece; unset: true for folders, false for streams."
    )

    @property
    def remote(self) -> bool:
        """Whether a name may have to be resolved before it opens."""
        return "://" in self.path

    @field_validator("path")
    @classmethod
    def _no_windows(cls, value: str) -> str:
        if re.match(r"[A-Za-z]:[\\/]|\\\\", value):
            raise ValueError(f"a path of Windows: {value!r}; mount the share here and write its folder, as /mnt/frames")
        return value

    @field_validator("path")
    @classmethod
    def _no_user_info(cls, value: str) -> str:
        if "://" in value:
            url = urlsplit(value)
            try:
                whole = url.port is None or url.port > 0
            except ValueError:  # `user:pa/ss@host` splits at the slash; the text would show the password
                whole = False
            if "@" in url.netloc or not whole:
                raise ValueError("a URL without user and password is wanted: use source.credentials_file")
        return value

    @model_validator(mode="after")
    def _need_path(self) -> Self:
        if not self.path:
            raise ValueError(f"path is needed by kind = {self.kind!r}")
        return self


class FolderOptions(PathOptions):
    """A watched folder of stills."""

    kind: Literal["folder"] = Field(default="folder", description="A watched folder of stills.")
    path: str = Field(default="", description="Directory.")
    max_file_bytes: MaxFileBytes = MAX_FILE_BYTES
    rescan_s: float = Field(default=2.0, gt=0, le=3600, description="Pause between two scans of the folder.")
    settle_s: float = Field(
        default=1.0, ge=0, le=3600, description="A file found by a scan must have stayed unchanged this long."
    )
    patterns: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=("*.jpg", "*.jpeg", "*.png", "*.bmp", "*.tif", "*.tiff"),
        min_length=1,
        description="File names to take, compared without regard to case.",
    )
    recursive: bool = Field(default=True, description="Watch the folders below, too.")
    finished: Disposal = Field(default="keep", description="What becomes of inspected files.")
    refused: Disposal = Field(default="keep", description="What becomes of refused files.")
    finished_dir: Path | None = Field(default=None, description="Where finished files go; needed by finished = 'move'.")
    refused_dir: Path | None = Field(default=None, description="Where refused files go; needed by refused = 'move'.")

    @model_validator(mode="after")
    def _need_places(self) -> Self:
        for key in ("finished", "refused"):
            if getattr(self, key) == "move" and getattr(self, f"{key}_dir") is None:
                raise ValueError(f"{key}_dir is needed by {key} = 'move'")
        return self


class CameraOptions(PathOptions):
    """A camera, or a video file."""

    kind: Literal["camera"] = Field(default="camera", description="A camera, or a video file.")
    path: str = Field(default="", description="Index, device path, URL or video file.")
    max_file_bytes: MaxFileBytes = MAX_FILE_BYTES
    open_timeout_s: OpenTimeout = OPEN_TIMEOUT_S
    read_timeout_s: float = Field(default=READ_TIMEOUT_S, gt=0, le=60, description="Longest wait for the next frame.")
    snapshot_interval_s: float = Field(
        default=1.0,
        ge=0.02,
        le=60,
        description="Time from request to request at a URL that gives one picture each.",
    )
    frozen_frames: int = Field(
        default=50,
        ge=0,
        le=100_000,
        description="This many identical live frames in a row, 2 or more, are a frozen camera; 0: never.",
    )
    rtsp_transport: Literal["tcp", "udp"] = Field(default="tcp", description="How RTSP carries pictures.")
    credentials_file: Path | None = Field(default=None, description="File with `user:password` for the URL.")

    @property
    def patience_s(self) -> float:
        """How long opening and one read may take by these options."""
        pause_s = self.snapshot_interval_s if self.path.startswith(("http://", "https://")) else 0.0
        return self.open_timeout_s + self.read_timeout_s + pause_s

    @field_validator("frozen_frames")
    @classmethod
    def _no_single_frame(cls, value: int) -> int:
        if value == 1:
            raise ValueError("0 or at least 2 is wanted, as one frame is like no other: 1")
        return value


class LinesOptions(PathOptions):
    """A stream of lines."""

    kind: Literal["lines"] = Field(default="lines", description="A stream of lines.")
    path: str = Field(default="", description="Path, tcp://HOST:PORT, unix://PATH or '-'.")
    open_timeout_s: OpenTimeout = OPEN_TIMEOUT_S
    format: Literal["mono8", "pgm", "y4m"] = Field(default="mono8", description="Framing of the stream.")
    width_px: int | None = Field(default=None, ge=16, le=65536, description="Pixels of one line (mono8).")
    frame_lines: FrameLines = 400
    overlap_lines: OverlapLines = 100

    @property
    def patience_s(self) -> float:
        """How long opening and one read may take by these options."""
        return self.open_timeout_s + READ_TIMEOUT_S

    @model_validator(mode="after")
    def _check_lines(self) -> Self:
        if self.format == "mono8" and self.width_px is None:
            raise ValueError("width_px is needed by kind = 'lines' with format = 'mono8'")
        require_new_lines(self.frame_lines, self.overlap_lines)
        return self


class DemoOptions(SourceOptions):
    """A drawn strip."""

    kind: Literal["demo"] = Field(default="demo", description="A drawn strip.")
    frame_lines: FrameLines = 400
    overlap_lines: OverlapLines = 100
    speed_m_s: float = Field(default=2.0, gt=0, le=50, description="Speed of the strip.")
    seed: int = Field(default=0, ge=0, description="What is drawn.")
    images: Path | None = Field(default=None, description="Compose the strip from pictures in DIR/<label>/.")

    @model_validator(mode="after")
    def _check_lines(self) -> Self:
        require_new_lines(self.frame_lines, self.overlap_lines)
        return self


def require_new_lines(frame_lines: int, overlap_lines: int) -> None:
    """Refuse frames that only repeat the previous one.

    Raises:
        ValueError: The overlap is not smaller than the frame.
    """
    if overlap_lines >= frame_lines:
        raise ValueError(f"overlap_lines must be under frame_lines ({frame_lines}): {overlap_lines}")


AnySource = FolderOptions | CameraOptions | LinesOptions | DemoOptions
SOURCE_KINDS: dict[str, type[AnySource]] = {
    "folder": FolderOptions,
    "camera": CameraOptions,
    "lines": LinesOptions,
    "demo": DemoOptions,
}
Options = TypeVar("Options", bound=SourceOptions)


def find_unused(given: Mapping[str, Any]) -> set[str]:
    """Return which keys of a table `[source]` only other kinds use; keys of no kind are mistakes and not among them."""
    kind = given.get("kind")
    if not isinstance(kind, str) or kind not in SOURCE_KINDS:
        return set()
    known = {key for model in SOURCE_KINDS.values() for key in model.model_fields}
    return (known - set(SOURCE_KINDS[kind].model_fields)) & set(given)


def as_kind(options: SourceOptions, kind: type[Options], **changes: object) -> Options:
    """Return what is read as another kind: keys that both kinds use keep their values.

    Args:
        options: What is configured.
        kind: The other kind's class.
        changes: Values that replace those of `options`.

    Raises:
        ValidationError: The other kind needs a key that is not among them.
    """
    shared = {key: value for key, value in options if key in kind.model_fields and key != "kind"}
    return kind.model_validate(shared | changes)
