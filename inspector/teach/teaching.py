"""A teach-in from kept tiles to a candidate, a refit of the accepted reference, and what a person strikes out."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inspector.errors import LessonError
from inspector.inspection.decision import DecisionRules
from inspector.inspection.one_frame import judge_tiles
from inspector.inspection.predictions import Classify
from inspector.model.bundle import Bundle
from inspector.teach.aim import Aim
from inspector.teach.card import ARRAYS, ReferenceCard, Signature, SpaceEntry
from inspector.teach.files import KeptTiles, Stored, accept, read_stored, read_tiles, write_candidate
from inspector.teach.fit import Fitted, Lesson, fit_reference
from inspector.teach.judge import MAX_LOSS, Judgement, judge_fit
from inspector.teach.sheet import draw_sheet, strangest, tile_rows

SEEN_AT_ONCE = 64
SHEET, ROWS = "strangest.png", "tiles.csv"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """The station that is taught.

    Attributes:
        bundle: The one that runs.
        classify: Its network, opened with places.
        rules: Its decision, without a reference.
        kernels: Runtime and processor, as `golden.kernels_of`.
        folder: `reference/` in the folder of its store.
    """

    bundle: Bundle
    classify: Classify
    rules: DecisionRules
    kernels: str
    folder: Path


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """What a teach-in left.

    Attributes:
        stored: The candidate or, of a refit that counts, the accepted reference.
        judgement: Before and after.
        counts: Whether it counts already.
    """

    stored: Stored
    judgement: Judgement
    counts: bool = False

    @property
    def refusal(self) -> str | None:
        """Why the candidate is refused, or None."""
        return self.judgement.refused


def quiet(_: str) -> None:
    """Say nothing."""


def teach_lesson(
    site: Site,
    kept: KeptTiles,
    aim: Aim,
    *,
    coils_known: bool,
    signature: Signature,
    max_loss: float = MAX_LOSS,
    lesson_notes: Collection[str] = (),
    say: Say = quiet,
) -> Taught:
    """Fit, judge and leave a candidate; nothing that counts is touched.

    Raises:
        LessonError: Nothing can be taught from these tiles.
        OSError: The disk is full; the text names the file.
    """
    say(f"looking at {len(kept.tiles)} tiles")
    lesson = see_tiles(site, kept, coils_known)
    say("fitting")
    fitted = fit_reference(lesson, aim)
    say("judging on coils that were not taught")
    judgement = judge_fit(lesson, aim, site.classify, site.rules, max_loss)
    card = _card(site, lesson, fitted, aim, judgement, signature, lesson_notes)
    extras = {
        SHEET: draw_sheet(lesson.tiles, fitted.distances, fitted.reference.unclassified_threshold),
        ROWS: tile_rows(fitted.distances, lesson.groups, lesson.frames).encode(),
    }
    return Taught(write_candidate(site.folder, card, fitted.reference, kept, extras), judgement)


def strike(
    site: Site, stored: Stored, numbers: Collection[int], *, signature: Signature, max_loss: float = MAX_LOSS,
    say: Say = quiet,
) -> Taught:  # fmt: skip
    """Teach a candidate again without the tiles that a person struck out, by their numbers on its sheet.

    Raises:
        LessonError: A number that is not on the sheet, or too few tiles are left.
        SiteReferenceError: Its tiles are damaged.
        OSError: The disk is full; the text names the file.
    """
    card, kept = stored.card, _without(read_tiles(stored), stored, numbers)
    notes = (f"{len(set(numbers))} tile(s) struck out by a person",)
    return teach_lesson(
        site, kept, _aim_of(card), coils_known=card.coils is not None, signature=signature, max_loss=max_loss,
        lesson_notes=notes, say=say,
    )  # fmt: skip


def _aim_of(card: ReferenceCard) -> Aim:
    return Aim(**{key: value for key, value in card.aim.items() if key != "tile_share"})


def _without(kept: KeptTiles, stored: Stored, numbers: Collection[int]) -> KeptTiles:
    rows = (stored.folder / ROWS).read_text("utf-8").splitlines()[1:]
    by_rank = {int(rank): int(tile) for rank, tile, *_ in (row.split(",") for row in rows)}
    most = min(len(by_rank), len(strangest(np.zeros(len(by_rank)))))
    if strange := sorted(number for number in numbers if not 1 <= number <= most):
        raise LessonError(f"--strike takes numbers of {stored.folder / SHEET}, 1 to {most}: {strange[0]}")
    left = np.ones(len(kept.tiles), bool)
    left[[by_rank[number] for number in numbers]] = False
    return KeptTiles(kept.tiles[left], kept.groups[left], kept.frames[left])


def refit(site: Site, *, signature: Signature, max_loss: float = MAX_LOSS, say: Say = quiet) -> Taught:
    """Fit the accepted reference anew from its kept tiles, for the bundle and runtime that run now.

    It counts at once unless it is worse than what was judged of the present one; that one then stays, and the new one
    is left as a candidate.

    Raises:
        LessonError: No reference was accepted.
        SiteReferenceError: It, or its tiles, are damaged.
        OSError: The disk is full; the text names the file.
    """
    present = read_stored(site.folder)
    if present is None:
        raise LessonError(f"there is no accepted reference to refit: {site.folder}")
    kept, card = read_tiles(present), present.card
    made = teach_lesson(
        site, kept, _aim_of(card), coils_known=card.coils is not None, signature=signature, max_loss=max_loss, say=say
    )
    if made.refusal is None and not is_worse(made.judgement.as_dict(), card.judgement, max_loss):
        stored = accept(site.folder, site.bundle, signature)
        return Taught(stored, made.judgement, counts=True)
    return made


def is_worse(after: dict[str, Any], before: dict[str, Any] | None, max_loss: float) -> bool:
    """Whether a judgement finds fewer generated defects than the one before, by more than the allowed loss."""
    if not before:
        return False
    found = [(each["found_after"] + each["unclassified_shown"]) / max(each["shown"], 1) for each in (before, after)]
    return bool(found[0] - found[1] > max_loss)


def see_tiles(site: Site, kept: KeptTiles, coils_known: bool) -> Lesson:
    """Return kept tiles as the network sees them.

    Raises:
        LessonError: The bundle says nothing of places.
    """
    maps: dict[str, list[Any]] = {}
    defects: list[bool] = []
    for start in range(0, len(kept.tiles), SEEN_AT_ONCE):
        predictions, verdicts = judge_tiles(list(kept.tiles[start : start + SEEN_AT_ONCE]), site.classify, site.rules)
        for role, values in predictions.maps.items():
            maps.setdefault(role, []).append(values)
        defects += [verdict.is_defect for verdict in verdicts]
    if not maps and len(kept.tiles):
        raise LessonError(f"bundle {site.bundle.short} has no output `map`: a site cannot be taught with it")
    joined = {role: np.concatenate(values) for role, values in maps.items()}
    return Lesson(joined, kept.groups, kept.frames, kept.tiles, np.array(defects, bool), coils_known)


def _card(
    site: Site, lesson: Lesson, fitted: Fitted, aim: Aim, judgement: Judgement, signature: Signature,
    notes: Collection[str],
) -> ReferenceCard:  # fmt: skip
    reference = fitted.reference
    return ReferenceCard(
        bundle=site.bundle.short,
        bundle_sha256=site.bundle.fingerprint,
        kernels=site.kernels,
        tile_px=site.bundle.card.tile_px,
        spaces=tuple(
            SpaceEntry(role=space.role, depth=space.depth, rank=space.whitening.shape[1], scale=space.scale)
            for space in reference.spaces
        ),
        defect_threshold=reference.defect_threshold,
        unclassified_threshold=reference.unclassified_threshold,
        tiles=len(lesson),
        coils=lesson.coils if lesson.coils_known else None,
        aim=aim.as_dict(),
        basis=fitted.basis,
        judgement=judgement.as_dict(),
        warnings=(*fitted.warnings, *notes)[:64],
        taught=signature,
        files={ARRAYS: "0" * 64},
    )
