"""Every setting, declared once: type, default, range, unit, one sentence.

Unknown keys are refused by name. `[source]` is declared in `source`, a class for each kind; `loading` reads values and
knows where each came from. Constructors get their section, or what they use of it; only the station's wiring and the
commands see the whole tree.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import socket
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from inspector.command_table import COMMANDS, DEFAULT_COMMANDS
from inspector.labels import Severity
from inspector.model.bundle import DEFAULT_BUNDLE
from inspector.settings.alarm import Alarm, Labels
from inspector.settings.plant import Plant
from inspector.settings.recipe import MAX_RECIPES, Recipe, check_recipes
from inspector.settings.report import Report
from inspector.settings.section import Fraction, Section, TopicLevel
from inspector.settings.source import AnySource, find_unused
from inspector.settings.store import StoreOptions
from inspector.settings.strip import Strip

HOST = "{host}"
"""In a station's names: the name of this machine, so that one file serves many."""


def is_loopback(host: str) -> bool:
    """Say whether `host` can only mean this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"  # 127.example.com is a name like any other


class StationNames(Section):
    """Which camera this is; each name is one level of the MQTT topics."""

    site: TopicLevel = Field(description="Plant; in each name `{host}` stands for the name of this machine.")
    line: TopicLevel = Field(description="Production line.")
    name: TopicLevel = Field(description="Camera position, unique on its line.")

    @field_validator("site", "line", "name", mode="before")
    @classmethod
    def _name_host(cls, value: Any) -> Any:
        return value.replace(HOST, socket.gethostname() or "localhost") if isinstance(value, str) else value

    @property
    def text(self) -> str:
        """Return `site/line/name`."""
        return f"{self.site}/{self.line}/{self.name}"


class Tiling(Section):
    """How frames are cut; the tile's side comes from the bundle."""

    overlap_px: int | None = Field(
        default=None,
        ge=0,
        le=4095,
        description="Pixels that neighbouring tiles share, at most half a tile's side; unset: an eighth of it on a"
        " stream, 0 on stills.",
    )
    roi_xy: tuple[tuple[int, int], ...] = Field(
        default=(), description="Polygon in frame pixels; tiles without a pixel inside are not inspected."
    )


class ModelOptions(Section):
    """Which bundle decides."""

    path: str = Field(default=DEFAULT_BUNDLE, description="Bundle folder, or the name of a shipped bundle.")
    workers: int = Field(default=0, ge=0, le=64, description="Interpreters; 0: one per core, at most 4.")
    runtime: Literal["ai_edge_litert", "tflite_runtime"] | None = Field(
        default=None, description="Inference runtime; unset: LiteRT if it is there."
    )


class Decision(Section):
    """When a tile is a defect, and when a defect is an alarm."""

    mode: Literal["auto", "alarm", "observe"] = Field(
        default="auto", description="auto: alarm once the site is taught; observe: record and publish, never alarm."
    )
    thresholds: dict[str, Fraction] = Field(default={}, description="Score per label; unset: the card's.")
    severity: dict[str, Severity] = Field(default={}, description="Severity per label; unset: the card's.")
    never_overrule: tuple[str, ...] = Field(
        default=(), description="Labels that stay defects on a surface that is like the site's reference."
    )
    record_floor: Fraction = Field(
        default=0.2, description="Scores from here to the threshold are stored, not published."
    )
    unknown: bool = Field(default=True, description="Use the bundle's distance to call foreign tiles unknown.")
    second_look: bool = Field(
        default=True, description="Score mirror images of a tile before it is a defect; false: faster, more alarms."
    )
    blank_std: float = Field(default=0.5, ge=0, le=64, description="Frames with less grey deviation are blank.")
    overexposed_share: Fraction = Field(default=0.98, description="Frames with more white (>= 250) are not inspected.")
    underexposed_share: Fraction = Field(default=0.98, description="Frames with more black (<= 5) are not inspected.")


class Teach(Section):
    """What the station learns of its own steel, and how it proves all day that it still sees."""

    max_loss: Fraction = Field(
        default=0.15, description="A teach-in that loses a larger share of the generated defects is refused."
    )
    reservoir_tiles: int = Field(
        default=1000, ge=300, le=3000, description="Tiles that a teach-in keeps, shared among the coils that pass."
    )
    reservoir_bytes: int = Field(
        default=120_000_000, ge=1_000_000, le=120_000_000, description="Pixels that it keeps at most."
    )
    probe_interval_s: float = Field(
        default=5, ge=0, le=3600, description="A known defect is laid onto a clean tile this often; 0: never."
    )
    sensitivity_limit: Fraction = Field(
        default=0.75,
        description="Health is degraded if fewer of them are found, as a share of what was found at first.",
    )
    sensitivity_probes: int = Field(
        default=40, ge=10, le=60, description="So many of a size or label are judged, at least, before it is."
    )


class Events(Section):
    """Which messages leave, and how alarms are held back."""

    frame_messages: bool | None = Field(default=None, description="One message per frame; unset: for stills only.")
    alarm_hits: int = Field(
        default=1, ge=1, le=1000, description="Frames with the label at one place that make an alarm (N) ..."
    )
    alarm_window: int = Field(default=1, ge=1, le=1000, description="... among this many last frames (M).")
    alarm_min_severity: Severity = Field(default="minor", description="Defects below raise no alarm.")
    alarm_limit: int = Field(
        default=6,
        ge=1,
        le=100_000,
        description="Alarms per label that may leave this station, whatever alarm.area gets, ...",
    )
    alarm_limit_s: float = Field(
        default=60, gt=0, le=86400, description="... in this time; then one 'suppressed' message."
    )
    keep_open: Fraction = Field(
        default=0.8,
        description="Share of its threshold at which a weaker piece keeps an open defect open; 1: none does.",
    )
    alarm_unclassified: bool = Field(
        default=False, description="true: what is unlike the reference and of no class may be an alarm."
    )
    unclassified_limit: int = Field(
        default=60, ge=0, le=100_000, description="Unclassified defects published in an hour; the rest is counted."
    )
    off_domain_share: Fraction = Field(default=0.5, description="Share of unknown tiles that makes health degraded.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.alarm_hits > self.alarm_window:
            raise ValueError(f"alarm_hits must not exceed alarm_window ({self.alarm_window}): {self.alarm_hits}")
        return self


class Mqtt(Section):
    """The broker."""

    enabled: bool = Field(default=True, description="false: messages stay in the store.")
    host: str = Field(default="127.0.0.1", min_length=1, description="Broker.")
    port: int = Field(default=1883, ge=1, le=65535, description="Its port; 8883 is usual with TLS.")
    root: str | None = Field(default=None, description="Topic root; unset: inspector/{site}/{line}/{name}.")
    protocol: Literal["auto", "5", "3.1.1"] = Field(default="auto", description="auto: 5, then 3.1.1 with a warning.")
    client_id: str | None = Field(default=None, max_length=128, description="Unset: from the root.")
    username: str | None = Field(
        default=None, min_length=1, description="User at the broker; the ACL of deploy/mosquitto needs site/line/name."
    )
    password_file: Path | None = Field(default=None, description="File with the password, one line.")
    tls: bool | None = Field(
        default=None, description="Set it explicitly for another host; unset: plain, loopback only."
    )
    ca_file: Path | None = Field(default=None, description="CA of the broker's certificate; unset: the system's.")
    cert_file: Path | None = Field(default=None, description="Client certificate.")
    key_file: Path | None = Field(default=None, description="Its key.")
    keepalive_s: int = Field(
        default=2,
        ge=2,
        le=3600,
        description="The broker publishes the will after 1.5 times this silence; longer for a link that stalls.",
    )
    commands: tuple[str, ...] = Field(
        default=DEFAULT_COMMANDS, description="Topics below cmd/ that are taken; also shelve, pause, keep, resend."
    )
    window: int = Field(default=20, ge=1, le=100, description="Unacknowledged messages on the way.")
    resend_horizon_s: float = Field(
        default=3600, ge=0, le=604800, description="Delivered messages kept for a broker that loses its memory."
    )
    subscriber_grace_s: float = Field(
        default=600, ge=0, le=86400, description="How long messages wait for subscribers that their topic had."
    )

    @field_validator("commands")
    @classmethod
    def _check_commands(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if strange := sorted(set(value) - set(COMMANDS)):
            raise ValueError(f"no such command ({', '.join(COMMANDS)}): {strange[0]}")
        return value

    @field_validator("host")
    @classmethod
    def _check_host(cls, value: str) -> str:
        if re.search(r"[/@\s]", value):
            raise ValueError("a host name or address is wanted, no URL; use username and password_file")
        return value

    @field_validator("root")
    @classmethod
    def _check_root(cls, value: str | None) -> str | None:
        if value is None:
            return None
        root = value.strip("/")
        if not root or re.search(r"[+#\x00]", root) or root.startswith("$") or len(root.encode()) > 1024:
            raise ValueError(f"a topic without wildcards, not below $, is wanted: {value!r}")
        return root

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.tls is None and not is_loopback(self.host):
            raise ValueError(
                f"set tls = true, or tls = false for plain MQTT, for a broker on another machine: {self.host}"
            )
        if self.password_file and not self.username:
            raise ValueError("username is needed by password_file")
        if self.password_file and not self.tls and not is_loopback(self.host):
            raise ValueError("password_file is refused without tls: the password would be readable on the network")
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert_file and key_file belong together")
        if (self.cert_file or self.ca_file) and not self.tls:
            raise ValueError("ca_file and cert_file need tls = true")
        return self


class Jsonl(Section):
    """Messages in files, besides the broker or instead of it: one line each, `{"topic": …, "payload": {…}}`."""

    enabled: bool = Field(default=False, description="true: write every message to a file, too.")
    path: Path | None = Field(
        default=None, description="Folder of the files, for nothing else; unset: jsonl/ in the store's."
    )
    rotate_bytes: int = Field(
        default=64 << 20, ge=1024, description="A file that would grow beyond is followed by the next."
    )
    keep_files: int = Field(default=16, ge=1, description="Files kept, the newest included; the oldest are deleted.")


class Http(Section):
    """Metrics, health and the status page."""

    enabled: bool = Field(default=True, description="false: no listener at all.")
    address: str = Field(default="127.0.0.1", description="Off loopback demands TLS and a token.")
    port: int = Field(default=9108, ge=0, le=65535, description="0: any free port, written to the log.")
    cert_file: Path | None = Field(default=None, description="Server certificate.")
    key_file: Path | None = Field(default=None, description="Its key.")
    token_file: Path | None = Field(default=None, description="File with the bearer token that requests must carry.")
    public_url: str | None = Field(
        default=None, max_length=1024, description="Where people reach this listener, for links in alarms: https://..."
    )
    max_upload_bytes: int = Field(default=16 << 20, ge=1024, description="Largest picture that /api/classify takes.")

    @field_validator("public_url")
    @classmethod
    def _check_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", value):
            raise ValueError(f"expected http:// or https:// with a host, without user, ? and #: {value!r}")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert_file and key_file belong together")
        if self.enabled and not is_loopback(self.address) and not (self.cert_file and self.token_file):
            raise ValueError(f"cert_file, key_file and token_file are needed off loopback: {self.address}")
        return self


class Privacy(Section):
    """What is kept of the people who give commands."""

    persons: Literal["name", "role", "off"] = Field(
        default="name", description="What is stored and published of a person; role: plant, operator or engineer."
    )


class Settings(BaseSettings):
    """The whole configuration of one station."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, case_sensitive=True)

    station: StationNames
    source: AnySource = Field(discriminator="kind", description="Where frames come from.")
    tiling: Tiling = Tiling()
    model: ModelOptions = ModelOptions()
    decision: Decision = Decision()
    teach: Teach = Teach()
    events: Events = Events()
    alarm: Alarm = Alarm()
    labels: Labels = Labels()
    plant: Plant = Plant()
    strip: Strip = Strip()
    mqtt: Mqtt = Mqtt()
    jsonl: Jsonl = Jsonl()
    store: StoreOptions = StoreOptions()
    http: Http = Http()
    report: Report = Report()
    privacy: Privacy = Privacy()
    recipe: tuple[Recipe, ...] = Field(default=(), max_length=MAX_RECIPES)

    @field_validator("recipe")
    @classmethod
    def _check_recipes(cls, value: tuple[Recipe, ...]) -> tuple[Recipe, ...]:
        check_recipes(value)
        return value

    @model_validator(mode="after")
    def _check_scale(self) -> Self:
        strip, source = self.strip.mm_per_px, self.source.mm_per_px
        if strip is not None and source is not None and strip != source:
            raise ValueError(
                f"strip.mm_per_px and source.mm_per_px are the same scale, and differ: {strip:g}, {source:g}"
            )
        return self

    @property
    def mm_per_px(self) -> float | None:
        """Scale across, as configured."""
        return self.strip.mm_per_px or self.source.mm_per_px

    @model_validator(mode="before")
    @classmethod
    def _drop_unused(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Pass over keys that only other kinds of source use; `loading` warns of them, the next release refuses."""
        source = values.get("source")
        if not isinstance(source, dict) or not (unused := find_unused(source)):
            return values
        return {**values, "source": {key: value for key, value in source.items() if key not in unused}}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what is given, nothing else: only `load_settings` reads files and the environment."""
        return (init_settings,)

    @property
    def root(self) -> str:
        """The MQTT topic root."""
        return self.mqtt.root or f"inspector/{self.station.text}"

    @property
    def sinks(self) -> tuple[str, ...]:
        """Names of the sinks that are switched on, as the store keeps their cursors."""
        return tuple(name for name, on in (("mqtt", self.mqtt.enabled), ("jsonl", self.jsonl.enabled)) if on)

    def fingerprint(self) -> str:
        """Return sha256 over the settings' canonical JSON; secrets are in files, so none is in here."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()
