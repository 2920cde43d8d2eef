"""The bench of the HTTP tests: an application with everything it shows, and ways to fill it and to ask it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import cv2
import httpx
import numpy as np
from fakes import FakeClock, inspected, make_defect, make_frame, track_rules
from prometheus_client import CollectorRegistry

from inspector.box import Box
from inspector.frame import Frame, Pixels
from inspector.http.app import Shown, make_app
from inspector.http.options import HttpOptions
from inspector.http.page import PageFacts
from inspector.http.server import HttpServer
from inspector.messages import DefectMessage, ReplyMessage
from inspector.sinks.mqtt.options import BrokerStatus
from inspector.store.entries import Entry
from inspector.store.evidence import EvidenceFolder
from inspector.store.store import Store
from inspector.telemetry.health import HealthBoard
from inspector.telemetry.metrics import Metrics
from inspector.track.rules import TrackRules
from inspector.track.state import TrackState
from inspector.track.track import track

TOKEN = "correct-horse-battery-staple"  # noqa: S105 - known to nobody but these tests
NO_SUCH_ID = "00000000-0000-5000-8000-000000000000"


@dataclass
class Bench:
    """Everything that an application shows, and ways to fill it."""

    store: Store
    evidence: EvidenceFolder | None
    clock: FakeClock
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    facts: PageFacts = field(default_factory=lambda: PageFacts({"version": "1.2.3"}, BrokerStatus()))
    classify: Callable[[Pixels, str], dict[str, Any]] = lambda pixels, name: {"path": name, "shape": [*pixels.shape]}
    execute: Callable[[str, bytes], ReplyMessage | None] = lambda name, payload: None
    options: HttpOptions = field(default_factory=lambda: HttpOptions(port=0))

    def __post_init__(self) -> None:
        rules = track_rules()
        self.metrics = Metrics(self.registry, tuple(rules.thresholds), rules.severity)
        self.health = HealthBoard("site/line/cam", self.clock)

    def app(self, **options: Any) -> Any:
        return make_app(self.options.model_copy(update=options), self.shown())

    def shown(self, **changes: Any) -> Shown:
        values: dict[str, Any] = {
            "metrics": self.metrics, "records": self.store.reader, "evidence": self.evidence, "health": self.health,
            "facts": lambda: self.facts, "classify": self.classify, "execute": self.execute, "clock": self.clock,
        }  # fmt: skip
        return Shown(**{**values, **changes})

    def find(self, frame: Frame, *labels: str, rules: TrackRules | None = None) -> list[str]:
        """Store a frame with these defects, with pictures; returns their ids."""
        defects = [make_defect(label, Box(0, 0, 32, 32 + number)) for number, label in enumerate(labels)]
        _, drafts = track(TrackState(), inspected(frame, *defects), rules or track_rules())
        kept = {}
        for draft in drafts:
            if draft.picture is not None and isinstance(draft.body, DefectMessage) and self.evidence is not None:
                kept[draft.body.id] = self.evidence.keep(draft.body.defect_id, draft.picture)
        bodies = self.store.commit([Entry(drafts, {key: value for key, value in kept.items() if value})])
        return [body.defect_id for body in bodies if isinstance(body, DefectMessage)]


def ask(app: Any, path: str, method: str = "GET", **request: Any) -> httpx.Response:
    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, **request)

    return asyncio.run(go())


def picture(kind: str = ".png", side_px: int = 32) -> bytes:
    pixels = np.arange(side_px * side_px, dtype=np.uint32).reshape(side_px, side_px).astype(np.uint8)
    return bytes(cv2.imencode(kind, pixels)[1].tobytes())


def still(number: int = 0, **changes: Any) -> Frame:
    return make_frame(number, **{"independent": True, "source_key": f"{number}.png", **changes})


class Seen(HTMLParser):
    """Collects tags, addresses and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


@contextmanager
def serving(bench: Bench, **options: Any) -> Iterator[HttpServer]:
    server = HttpServer(bench.app(**options), bench.options.model_copy(update=options))
    server.start()
    try:
        yield server
    finally:
        server.stop(10)
