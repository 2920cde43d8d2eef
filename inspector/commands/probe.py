"""Open a station's source and show what arrives, without store, model or broker."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from inspector.clock import SystemClock
from inspector.errors import SourceError
from inspector.frame import Frame
from inspector.settings.loading import load_settings
from inspector.sources.base import EndOfSource, NoLedger, SourceContext
from inspector.sources.opening import open_source


@dataclass(slots=True)
class ProbeResult:
    """What arrived in the time of the probe."""

    source: str
    policy: str
    seconds: float = 0.0
    frames: int = 0
    frames_per_s: float | None = None
    sizes_px: str = ""
    channels: str = ""
    mean_grey: float | None = None
    gaps: dict[str, int] = field(default_factory=dict)
    problem: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def probe_station(config: Path, seconds: float) -> ProbeResult:
    """Read the source of a configuration for `seconds`.

    Raises:
        ConfigError: The configuration is refused.
    """
    settings, clock = load_settings(config).settings, SystemClock()
    source = open_source(settings.source, SourceContext(clock, lambda: 1, "probe"), NoLedger())
    result = ProbeResult(source.description, source.policy.value)
    sizes, channels, greys = set[str](), set[str](), list[float]()
    started = clock.monotonic()
    try:
        while clock.monotonic() - started < seconds:
            try:
                item = source.read()
            except EndOfSource:
                break
            if isinstance(item, Frame):
                result.frames += 1
                sizes.add(f"{item.width_px}x{item.height_px}")
                channels.add("grey" if item.pixels.ndim == 2 else "colour")
                greys.append(float(np.mean(item.pixels[::8, ::8])))
            elif item is not None:
                result.gaps[item.cause.value] = result.gaps.get(item.cause.value, 0) + 1
                result.problem = item.detail or result.problem
    except SourceError as exc:
        result.problem = str(exc)
    finally:
        source.close()
    result.seconds = round(clock.monotonic() - started, 3)
    if settings.source.kind != "folder" and result.seconds:  # files wait: how fast they are read is no rate
        result.frames_per_s = round(result.frames / result.seconds, 2)
    result.sizes_px, result.channels = " ".join(sorted(sizes)), " ".join(sorted(channels))
    result.mean_grey = round(float(np.mean(greys)), 1) if greys else None
    return result
