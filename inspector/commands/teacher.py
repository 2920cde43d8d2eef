"""What `inspector teach` does: the good surface of a site, taught from a folder of frames or by the running station.

`commands.teach` is the door. Nothing that counts is touched before a person accepts, and a
station that runs takes an accepted reference by itself.
"""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from inspector.clock import SystemClock, to_rfc3339
from inspector.commands.do import ask_station
from inspector.commands.taught import stored_proof
from inspector.commands.teach_in import follow_teach_in
from inspector.errors import ConfigError, LessonError
from inspector.model.bundle import Bundle, find_bundle, load_bundle
from inspector.model.golden import kernels_of
from inspector.model.interpreter import load_runtime
from inspector.model.pool import open_model
from inspector.settings.loading import load_settings
from inspector.settings.places import state_folder
from inspector.settings.sections import Settings
from inspector.station.wiring import inspect_rules, reference_named, worker_count
from inspector.teach.accepted import read_accepted
from inspector.teach.aim import aim_for
from inspector.teach.card import Signature
from inspector.teach.durable import held_lock
from inspector.teach.files import ACCEPTED, CANDIDATE, FOLDER, Stored, accept, read_stored, undo
from inspector.teach.lesson import LessonRules, ShownLesson, read_lesson
from inspector.teach.own_labels import FOLDER as LABELS
from inspector.teach.own_labels import label_names
from inspector.teach.teach_in import LOCK_FILE, read_teach_in
from inspector.teach.teaching import SHEET, Site, Taught, refit, strike, teach_lesson

BUSY = "another teach-in is running"


@dataclass(frozen=True, slots=True)
class Asked:
    """What `inspector teach` was asked for.

    Attributes:
        frames: Folder of good frames, or None.
        by_folder: Each sub-folder is a coil; None: if there are at least two.
        false_calls: The aim; None takes the default.
        accept: Let the candidate count.
        struck: Numbers on the sheet of tiles that are defects.
    """

    frames: Path | None = None
    by_folder: bool | None = None
    false_calls: float | None = None
    accept: bool = False
    struck: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it: lines for people, JSON values for programs, and whether it was refused."""

    lines: tuple[str, ...]
    values: dict[str, Any]
    refused: bool = False


class Teacher:
    """The station of a configuration, to be taught.

    Args:
        config: Its file.
        reference: Name of a reference that recipes name; None: the station's.

    Raises:
        ConfigError: It is refused, or no recipe names this reference.
        BundleError: Its bundle is.
    """

    def __init__(self, config: Path, reference: str | None = None) -> None:
        self.settings: Settings = load_settings(config).settings
        self.folder = state_folder(self.settings, unit_file=config) / FOLDER
        named = {recipe.reference for recipe in self.settings.recipe if recipe.reference}
        if reference is not None and reference not in named:
            known = ", ".join(sorted(named)) or "none does"
            raise ConfigError(f"--reference: no recipe names it ({known}): {reference!r}")
        if reference is not None:
            self.folder = reference_named(self.settings, reference, config)
        self.bundle: Bundle = load_bundle(find_bundle(self.settings.model.path))
        names = label_names(self.folder.parent / LABELS)
        self.rules = inspect_rules(self.settings.tiling, self.settings.decision, self.bundle, own_names=names)

    def teach(self, asked: Asked) -> Outcome:
        """Teach from a folder, take the last candidate again without what was struck out, or only accept it.

        Raises:
            LessonError: It is refused.
            SiteReferenceError: The candidate is damaged.
            OSError: The disk is full.
        """
        with held_lock(self.folder / LOCK_FILE, wait=False, busy=BUSY):
            if asked.frames is not None:
                taught = self._from_frames(asked)
            elif asked.struck:
                taught = self._without_struck(asked)
            else:
                return self._accept(read_stored(self.folder, CANDIDATE))
            said = _told(taught, undecided=not asked.accept)
            if asked.accept:
                accepted = self._accept(taught.stored)
                return Outcome((*said.lines, *accepted.lines), {**said.values, **accepted.values})
            return said

    def undo(self) -> Outcome:
        """Let the previous reference count again.

        Raises:
            LessonError: There is nothing to undo.
            SiteReferenceError: It is damaged.
        """
        stored = undo(self.folder)
        if stored is None:
            return Outcome(("no reference counts: the station is untaught again",), {"state": "untaught"})
        trouble = read_accepted(self.folder, self.bundle).trouble
        lines = [f"reference {stored.reference.short} of {stored.card.taught.at} counts again"]
        if trouble is not None:
            lines.append(f"WARNING: it decides nothing: {trouble}")
        return Outcome(tuple(lines), {"state": "accepted", **_values(stored), "trouble": trouble})

    def refit(self) -> Outcome:
        """Fit the accepted reference anew from its kept tiles, and let it count unless it is worse.

        Raises:
            LessonError: There is none.
            SiteReferenceError: It is damaged.
        """
        with held_lock(self.folder / LOCK_FILE, wait=False, busy=BUSY), self._site() as site:
            before = read_stored(self.folder)
            max_loss = self.settings.teach.max_loss
            taught = refit(site, signature=_signature(), max_loss=max_loss, say=_progress)
            said = _told(taught)
            if taught.counts:
                last = f"reference {taught.stored.reference.short} counts from now on"
            else:
                last = "the new reference is worse: the present one counts on, the new one is left as a candidate"
            old = before.card.judgement if before is not None else None
            values = {**said.values, "state": "accepted" if taught.counts else "candidate", "judgement_of_present": old}
            return Outcome((*said.lines, last), values, refused=not taught.counts)

    def _from_frames(self, asked: Asked) -> Taught:
        assert asked.frames is not None  # noqa: S101 - as the caller has seen
        by_folder = asked.by_folder
        if by_folder is None:
            by_folder = asked.frames.is_dir() and sum(path.is_dir() for path in asked.frames.iterdir()) >= 2
        source = self.settings.source
        rules = LessonRules(
            self.rules.tiling, self.rules.quality, source.max_frame_px, source.full_scale,
            (getattr(source, "width_px", None), None),
        )  # fmt: skip
        shown = read_lesson(asked.frames, rules, by_folder, _count_frames)
        with self._site() as site:
            return teach_lesson(
                site, shown.kept, self._aim(asked, shown), coils_known=by_folder, signature=_signature(),
                max_loss=self.settings.teach.max_loss, lesson_notes=shown.notes, say=_progress,
            )  # fmt: skip

    def _without_struck(self, asked: Asked) -> Taught:
        candidate = read_stored(self.folder, CANDIDATE)
        if candidate is None:
            raise LessonError(f"there is no candidate to strike tiles out of: {self.folder / CANDIDATE}")
        with self._site() as site:
            return strike(
                site, candidate, asked.struck, signature=_signature(), max_loss=self.settings.teach.max_loss,
                say=_progress,
            )  # fmt: skip

    def _aim(self, asked: Asked, shown: ShownLesson) -> Any:
        card = self.bundle.card
        return aim_for(
            self.settings, asked.false_calls, tile_px=card.tile_px, card_mm_per_px=card.mm_per_px,
            tiles_across=shown.tiles_across, tiles_per_frame=shown.tiles_per_frame,
        )  # fmt: skip

    def _accept(self, candidate: Stored | None) -> Outcome:
        refused = None if candidate is None else (candidate.card.judgement or {}).get("refused")
        stored = accept(self.folder, self.bundle, _signature(refused))
        lines = [f"reference {stored.reference.short} counts from now on"]
        if refused:
            lines.append(f"accepted although it was refused, which is recorded: {refused}")
        return Outcome(tuple(lines), {"state": "accepted", **_values(stored)})

    @contextmanager
    def _site(self) -> Iterator[Site]:
        model = self.settings.model
        pool, _ = open_model(self.bundle, worker_count(model.workers), model.runtime, places=True)
        try:
            kernels = kernels_of(load_runtime(model.runtime)[0])
            yield Site(self.bundle, pool, self.rules.decision, kernels, self.folder)
        finally:
            pool.close()


def _signature(override: str | None = None) -> Signature:
    user = os.environ.get("SUDO_USER") or _user()
    return Signature(by=user, at=to_rfc3339(SystemClock().now()), override=override)


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        typer.echo(f"{text} ...", err=True)


def _count_frames(done: int, of: int) -> None:
    if sys.stderr.isatty() and (done % 20 == 0 or done == of):
        typer.echo(f"\rread {done} of {of} frames", err=True, nl=done == of)


def _told(taught: Taught, *, undecided: bool = True) -> Outcome:
    stored, card = taught.stored, taught.stored.card
    basis, proven = card.basis, card.basis["proven"]
    unit, length = ("per km and side", "km") if card.aim["per"] == "km" else ("per 1,000 pictures", "thousand pictures")
    coils = f"{card.coils} coils" if card.coils is not None else "unknown coils"
    lines = [
        f"taught on {card.tiles} tiles of {coils}: reference {stored.reference.short}",
        f"aim: {card.aim['false_calls']:g} false calls {unit}; expected {basis['expected_false_calls']:g}, at most"
        f" {basis['at_most_false_calls']:g} on other coils",
        f"proven so far: {proven['false_calls_seen']} false calls in {proven['share_of_aim_unit']:g} {length}:"
        f" at most {proven['false_calls_at_most']:g} {unit}",
        *taught.judgement.lines,
        *(f"warning: {warning}" for warning in card.warnings),
    ]
    if undecided:
        lines.append(f"look at {stored.folder / SHEET}: strike out what is a defect (--strike 3,7), then --accept")
    if taught.refusal:
        lines.append(f"refused: {taught.refusal}; --accept overrides")
    values = {"state": "candidate", **_values(stored), "sheet": str(stored.folder / SHEET)}
    return Outcome(tuple(lines), values, refused=taught.refusal is not None)


def _values(stored: Stored) -> dict[str, Any]:
    card, proof = stored.card, stored_proof(stored.folder.parent.parent)
    return {
        "reference": stored.reference.short,
        "sha256": stored.reference.sha256,
        "bundle": card.bundle,
        "tiles": card.tiles,
        "coils": card.coils,
        "defect_threshold": card.defect_threshold,
        "unclassified_threshold": card.unclassified_threshold,
        "aim": card.aim,
        "basis": card.basis,
        "judgement": card.judgement,
        "warnings": list(card.warnings),
        "refused": (card.judgement or {}).get("refused"),
        "accepted": None if card.accepted is None else card.accepted.model_dump(),
        "folder": str(stored.folder),
        "proof": None if proof is None or proof.reference != stored.reference.short else proof.as_dict(),
    }


def ask_to_teach(config: Path, minutes: float, asked: Asked) -> Outcome:
    """Let the running station collect, and return what came of it: a candidate, or what counts at once.

    Raises:
        ConfigError: It has no listener, or no token.
        SourceError: No station answers there.
        LessonError: The station refuses, or has ended meanwhile.
    """
    folder = state_folder(load_settings(config).settings, unit_file=config) / FOLDER
    before = read_teach_in(folder)
    payload = {"action": "start", "minutes": minutes, "accept": asked.accept, "person": _signature().by[:64]}
    if asked.false_calls is not None:
        payload["false_calls_per_km"] = asked.false_calls
    reply = ask_station(config, "teach", payload)
    if not reply.get("ok"):
        raise LessonError(str(reply.get("detail") or reply.get("error")))
    _progress(str(reply["detail"]))
    ended = follow_teach_in(folder, SystemClock(), _progress, None if before is None else before.id)
    stored = None
    if ended.reference is not None:
        stored = read_stored(folder, ACCEPTED if ended.state == "accepted" else CANDIDATE)
    lines = [f"{ended.state}: {ended.text or ''}".rstrip(": ")]
    if ended.state == "candidate" and stored is not None:
        lines.append(f"look at {stored.folder / SHEET}: strike out what is a defect (--strike 3,7), then --accept")
    values = {"teach_in": ended.model_dump(mode="json", by_alias=True), **({} if stored is None else _values(stored))}
    return Outcome(tuple(lines), {**values, "state": ended.state}, ended.state not in ("candidate", "accepted"))
