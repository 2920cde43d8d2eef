"""What the reference proves while the station runs: surface seen under it since it was accepted, and calls on it.

Every call counts as false until a person has seen it and says that it is a defect: so the bound errs on the safe side.
Zero calls on x km prove, with 95 % confidence, at most 3/x a kilometre (the rule of three; Hanley and Lippman-Hand,
JAMA 1983); k calls prove the upper limit of a Poisson count.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace

import structlog

from inspector.clock import Clock, to_rfc3339
from inspector.errors import StoreBusyError
from inspector.inspection.one_frame import Inspection
from inspector.messages import AlarmMessage, Body, DefectMessage
from inspector.station.dispatcher import Result
from inspector.station.verified import HELD_BACK
from inspector.store.notes import StationNotes
from inspector.telemetry.metrics import Metrics
from inspector.track.rules import TrackRules

KEPT_EVERY_S = 10.0
MANY = 100
QUANTILE = 1.6448536269514722
"""Of the standard normal distribution at 0.95."""

_log = structlog.get_logger("teach")


@dataclass(frozen=True, slots=True)
class Proof:
    """What was seen under one reference.

    Attributes:
        reference: Its hash, as messages carry it.
        since: When it began to count; RFC 3339, UTC.
        metres: Of strip inspected, where the scale is known.
        pictures: Frames inspected.
        tiles: Tiles inspected.
        calls: Defects that were called: alarms, and those that only the limiter, the mode or a shelf held back.
        real: How many of these a person has seen and found to be defects.
    """

    reference: str
    since: str
    metres: float = 0.0
    pictures: int = 0
    tiles: int = 0
    calls: int = 0
    real: int = 0

    @property
    def false(self) -> int:
        """Calls that nobody has found to be a defect."""
        return max(0, self.calls - self.real)

    @property
    def per_km(self) -> float | None:
        """Upper 95 % limit of the false calls on a kilometre; None where no scale is known."""
        return poisson_upper(self.false) * 1000 / self.metres if self.metres else None

    @property
    def per_1000_pictures(self) -> float | None:
        """Upper 95 % limit of the false calls in 1,000 pictures; None before the first."""
        return poisson_upper(self.false) * 1000 / self.pictures if self.pictures else None

    @property
    def limits(self) -> dict[str, float | None]:
        """Both limits by their unit, as the metric names it."""
        return {"km": self.per_km, "1000_pictures": self.per_1000_pictures}

    @property
    def text(self) -> str:
        """In one line, for a person."""
        calls = f"{self.calls} calls" + (f", {self.real} of them defects," if self.real else "")
        if self.per_km is not None:
            return f"{calls} on {self.metres / 1000:.3f} km: at most {self.per_km:.3g} a km (95 %)"
        if self.per_1000_pictures is not None:
            return f"{calls} in {self.pictures} pictures: at most {self.per_1000_pictures:.3g} in 1,000 (95 %)"
        return "nothing was inspected under it yet"

    def as_dict(self) -> dict[str, object]:
        """Return JSON values, the limits among them."""
        return {
            **asdict(self),
            "false": self.false,
            "per_km": self.per_km,
            "per_1000_pictures": self.per_1000_pictures,
            "text": self.text,
        }


def poisson_upper(count: int) -> float:
    """Return the upper 95 % limit of a Poisson mean of which `count` was seen (Garwood, Biometrika 1936).

    By bisection; beyond `MANY` by the cube root approximation of the chi-square (Wilson and Hilferty, PNAS 1931), which
    is within 0.01 there.
    """
    if count > MANY:
        ninth = 1 / (9 * (count + 1))
        return float((count + 1) * (1 - ninth + QUANTILE * math.sqrt(ninth)) ** 3)
    low, high = float(count), count + 10.0 * math.sqrt(count + 1.0) + 10.0
    for _ in range(60):
        middle = (low + high) / 2
        terms = (math.exp(k * math.log(middle) - middle - math.lgamma(k + 1)) for k in range(count + 1))
        low, high = (middle, high) if math.fsum(terms) > 0.05 else (low, middle)
    return high


def read_proof(text: str | None) -> Proof | None:
    """Return what the store has noted last, or None: nothing, or nothing that this release understands."""
    try:
        if text is None:
            return None
        known = {field.name for field in fields(Proof)}  # a later release may note more
        return Proof(**{key: value for key, value in json.loads(text).items() if key in known})
    except (ValueError, TypeError, AttributeError):
        return None


class Proving:
    """Counts on the committer's thread, keeps and shows on another.

    Args:
        notes: Of the store, which outlive the process.
        clock: Time.
        metrics: Where it is shown.
        mm_per_px: Scale of the strip, or None.
        verified: How many calls under a reference are defects, as people found.
    """

    def __init__(
        self,
        notes: StationNotes,
        clock: Clock,
        metrics: Metrics,
        mm_per_px: float | None,
        verified: Callable[[str], int] = lambda _: 0,
    ) -> None:
        self._notes = notes
        self._clock = clock
        self._metrics = metrics
        self._mm_per_px = mm_per_px
        self._verified = verified
        self._guard = threading.Lock()
        self._kept: Proof | None = None
        self._kept_mono_s = clock.monotonic()
        self.proof = read_proof(notes.reference_proof())

    def begin(self, reference: str | None) -> None:
        """Count for this reference: from where the store left off, or from the start if it is another one."""
        with self._guard:
            if reference is None:
                self.proof = None
            elif self.proof is None or self.proof.reference != reference:
                self.proof = Proof(reference, to_rfc3339(self._clock.now()))

    def count(self, bodies: Sequence[Body], firsts: set[str], results: Sequence[tuple[Result, str | None]]) -> None:
        """Count what was committed; arguments as of `CommitterOptions.seen`."""
        with self._guard:
            proof = self.proof
            if proof is None:
                return
            outcomes = [result.wait() for result, _ in results if _under(result.track, proof.reference)]
            frames = [one for one in outcomes if isinstance(one, Inspection) and one.cause is None]
            self.proof = replace(
                proof,
                metres=proof.metres + sum(map(self._metres, frames)),
                pictures=proof.pictures + len(frames),
                tiles=proof.tiles + sum(len(one.verdicts) for one in frames),
                calls=proof.calls + sum(_is_call(body, firsts) for body in bodies if _under(body, proof.reference)),
            )

    def _metres(self, inspection: Inspection) -> float:
        frame = inspection.frame
        if frame.first_line is None or self._mm_per_px is None:
            return 0.0
        return (frame.height_px - frame.overlap_lines) * self._mm_per_px / 1000

    def _verify(self) -> None:
        if (proof := self.proof) is None:
            return
        try:
            real = self._verified(proof.reference)
        except StoreBusyError as exc:
            _log.warning("proof_not_kept", reason=str(exc))
            return
        with self._guard:
            if self.proof is not None and self.proof.reference == proof.reference:
                self.proof = replace(self.proof, real=real)

    def show(self) -> None:
        """Set the metrics, and keep the counts every `KEPT_EVERY_S`."""
        self._verify()
        proof, metrics = self.proof, self._metrics
        metrics.reference_metres.set(proof.metres if proof else 0)
        metrics.reference_pictures.set(proof.pictures if proof else 0)
        metrics.reference_calls.set(proof.false if proof else 0)
        limits = {"km": None, "1000_pictures": None} if proof is None else proof.limits
        for unit, limit in limits.items():
            metrics.reference_bound.labels(unit).set(math.nan if limit is None else limit)
        if self._clock.monotonic() - self._kept_mono_s >= KEPT_EVERY_S:
            self.keep()

    def keep(self) -> None:
        """Keep the counts in the store, if they have changed."""
        self._kept_mono_s = self._clock.monotonic()
        if (proof := self.proof) is None or proof == self._kept:
            return
        try:
            self._notes.keep_reference_proof(json.dumps(asdict(proof)))
            self._kept = proof
        except StoreBusyError as exc:
            _log.warning("proof_not_kept", reason=str(exc))


def _under(what: Body | TrackRules | None, reference: str) -> bool:
    return getattr(what, "reference", None) == reference


def _is_call(body: Body, firsts: set[str]) -> bool:
    if isinstance(body, AlarmMessage):
        return body.kind == "defect"
    return isinstance(body, DefectMessage) and body.id in firsts and not body.alarm and body.why.rule in HELD_BACK
