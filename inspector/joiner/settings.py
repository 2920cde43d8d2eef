"""The configuration of `inspector strip`: a TOML file of its own, read as strictly as a station's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from inspector.errors import ConfigError
from inspector.settings.bounds import MAX_FILE_BYTES
from inspector.settings.explain import explain_error
from inspector.settings.section import Section, TopicLevel
from inspector.settings.sections import Mqtt
from inspector.settings.toml_file import parse_toml

Side = Literal["top", "bottom"]
Root = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^+#\s]+$")]


class StripNames(Section):
    """Which strip this is; together the names are its topic root, unless `mqtt.root` is set."""

    site: TopicLevel = Field(description="Plant.")
    line: TopicLevel = Field(description="Production line.")
    name: TopicLevel = Field(default="strip", description="Of the strip on its line.")
    width_mm: float | None = Field(
        default=None, gt=0, le=20_000, description="Of the strip; unset: from the first to the last station's edge."
    )
    min_coverage: float = Field(
        default=0.95, ge=0, le=1, description="A coil of which less surface was inspected is not assessed."
    )

    @property
    def text(self) -> str:
        """Return `site/line/name`."""
        return f"{self.site}/{self.line}/{self.name}"


class StationPlace(Section):
    """A table [[station]]: whose messages are joined, and where its picture lies on the strip."""

    root: Root = Field(description="Topic root of the station.")
    side: Side = Field(default="top", description="Which side it sees.")
    offset_mm: float = Field(
        default=0, ge=-20_000, le=20_000, description="Operator-side edge of its picture, from the strip's."
    )
    width_mm: float = Field(gt=0, le=20_000, description="Of its picture, across the strip.")
    mirrored: bool = Field(default=False, description="Its left is the drive side.")
    along_m: float = Field(
        default=0, ge=-1000, le=1000, description="Taken off its positions, if they are not from the coil's head."
    )

    def across(self, left_mm: float, width_mm: float) -> tuple[float, float]:
        """Return both edges of something in its picture, in mm from the strip's operator side."""
        begin = self.width_mm - left_mm - width_mm if self.mirrored else left_mm
        return self.offset_mm + begin, self.offset_mm + begin + width_mm

    @property
    def edges(self) -> tuple[float, float]:
        """Both edges of its picture."""
        return self.offset_mm, self.offset_mm + self.width_mm


class Join(Section):
    """When findings of two stations are one defect."""

    along_mm: float = Field(default=50, ge=0, le=5000, description="Apart along the strip, at most.")
    across_mm: float = Field(default=10, ge=0, le=1000, description="Apart across, at most.")
    time_error_s: float | None = Field(
        default=None,
        gt=0,
        le=3600,
        description="Where a station has no positions: apart in time, at most, clocks and distances included; unset:"
        " such findings are not joined.",
    )
    wait_s: float = Field(default=10, gt=0, le=3600, description="How long a finding waits for the others' ...")
    coil_wait_s: float = Field(
        default=60, gt=0, le=86400, description="... and a coil for the stations that have not ended it."
    )


class JoinerStore(Section):
    """What the service keeps."""

    path: Path | None = Field(default=None, description="Folder; unset: $STATE_DIRECTORY.")
    keep_days: float = Field(default=30, ge=8, le=3650, description="How long what came in is kept, to know repeats.")


class JoinerSettings(Section):
    """The whole configuration of one strip."""

    strip: StripNames
    station: tuple[StationPlace, ...] = Field(min_length=1, max_length=64)
    join: Join = Join()
    mqtt: Mqtt = Mqtt()
    store: JoinerStore = JoinerStore()

    @field_validator("station")
    @classmethod
    def _check_places(cls, stations: tuple[StationPlace, ...]) -> tuple[StationPlace, ...]:
        for one, other in combinations(stations, 2):
            if one.root.strip("/") == other.root.strip("/"):
                raise ValueError(f"two stations have one root: {one.root}")
            if one.side == other.side and one.edges == other.edges:
                raise ValueError(
                    f"two stations at one place: {one.root} and {other.root} ({one.side}, {one.offset_mm:g} mm)"
                )
        return stations

    @model_validator(mode="after")
    def _check_width(self) -> Self:
        for one in self.station:
            if self.strip.width_mm is not None and (one.edges[1] <= 0 or one.offset_mm >= self.strip.width_mm):
                raise ValueError(f"{one.root} sees nothing of the strip, which is {self.strip.width_mm:g} mm wide")
        return self

    @property
    def root(self) -> str:
        """Topic root of the strip."""
        return self.mqtt.root or f"inspector/{self.strip.text}"

    @property
    def edges(self) -> tuple[float, float]:
        """Both edges of the strip."""
        if self.strip.width_mm is not None:
            return 0.0, self.strip.width_mm
        return min(one.edges[0] for one in self.station), max(one.edges[1] for one in self.station)

    @property
    def sides(self) -> tuple[Side, ...]:
        """The sides that some station sees."""
        return tuple(side for side in ("top", "bottom") if any(one.side == side for one in self.station))

    def uncovered(self) -> list[tuple[Side, float, float]]:
        """Return what no station sees: side and both edges."""
        low, high = self.edges
        found: list[tuple[Side, float, float]] = []
        for side in self.sides:
            at = low
            for begin, end in sorted(one.edges for one in self.station if one.side == side):
                if begin > at:
                    found.append((side, at, min(begin, high)))
                at = max(at, end)
            if at < high:
                found.append((side, at, high))
        return found


def load_joiner(path: Path, environ: Mapping[str, str] = os.environ) -> JoinerSettings:
    """Read a configuration; the broker's password may be a systemd credential.

    Raises:
        ConfigError: Names file, key and what is wrong with it.
    """
    try:
        with path.open("rb") as file:
            values = parse_toml(file.read(MAX_FILE_BYTES + 1))
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise ConfigError(f"{path}: not TOML: {exc}") from exc
    if folder := environ.get("CREDENTIALS_DIRECTORY"):
        for name in ("password", "key"):
            if (secret := Path(folder) / f"mqtt.{name}").is_file() and isinstance(values.setdefault("mqtt", {}), dict):
                values["mqtt"].setdefault(f"{name}_file", str(secret))
    try:
        return JoinerSettings.model_validate(values)
    except ValidationError as exc:
        keys = {
            section: tuple(field.annotation.model_fields)
            for section, field in JoinerSettings.model_fields.items()
            if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
        }
        told = (explain_error(error, {}, path, keys) for error in exc.errors(include_url=False))
        raise ConfigError("\n".join(told)) from exc


def joiner_folder(settings: JoinerSettings, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the strip's store."""
    if settings.store.path is not None:
        return settings.store.path
    if given := environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    base = Path(environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return base / "inspector" / settings.strip.text.replace("/", "-")
