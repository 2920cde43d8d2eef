"""The first table of the report: every figure in a row, in the words of a person who has to believe it.

A row that begins with dots is about what the row above it is about. Figures that were added later may be missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from inspector.pages.language import Language

Row = tuple[str, Any]

GOOD_DECIDED, GOOD_FOUND, GOOD_FALSE = 0.98, 0.95, 0.02
"""Shares from which a bundle is called good: test pictures decided rightly, defects found, clean tiles that alarm."""


class Summary:
    """Makes the rows.

    Args:
        language: In which they are read.
    """

    def __init__(self, language: Language) -> None:
        self._language = language
        self.phrase = language.phrase  # by this name `scripts/write_catalogs.py` finds the texts

    def rows(self, results: Mapping[str, Any]) -> list[Row]:
        """Return name and figure of each row that the results have something for."""
        parts = {
            "official": self._official,
            "corruption": self._corruptions,
            "line": self._line,
            "clean": self._clean,
            "foreign": self._foreign,
            "cam": self._pointing,
        }
        return [row for part, rows_of in parts.items() if part in results for row in rows_of(results[part])]

    def verdict(self, results: Mapping[str, Any]) -> str:
        """Return in one sentence what the bundle is worth: on surfaces like those it learned from, and on others."""
        phrase, number = self.phrase, self._language.number
        if "official" not in results:
            return ""
        decided = results["official"]["decision"]
        good = decided["share"] >= GOOD_DECIDED
        parts = [phrase("it decides %(right)s of %(all)s test pictures rightly", right=decided["k"], all=decided["n"])]
        if "line" in results:
            found, clean = results["line"]["found"], results["line"]["clean_tiles"]
            good = good and found["share"] >= GOOD_FOUND and clean["share"] <= GOOD_FALSE
            parts.append(phrase("finds %(found)s of %(all)s defects on the line", found=found["k"], all=found["n"]))
            parts.append(phrase("calls %(alarms)s of %(all)s clean tiles a defect", alarms=clean["k"], all=clean["n"]))
        clean_sets = [row for row in results.get("foreign", {}).values() if "alarms_reviewed" in row]
        alarms = [row["alarms"]["share"] for row in clean_sets]
        if alarms:
            percent = number(100 * max(alarms), 0)
            parts.append(phrase("on other clean surfaces up to %(percent)s %% of the tiles", percent=percent))
        head = phrase("Good on surfaces like those it learned from") if good else phrase("Not good enough yet")
        return f"{head}: {', '.join(parts)}."

    def share(self, row: Mapping[str, Any]) -> str:
        """Return a share with what it is of, and its interval."""
        low, high = self._four(row["low"]), self._four(row["high"])
        return self.phrase(
            "%(k)s of %(n)s = %(share)s (95 %%: %(low)s to %(high)s)",
            k=row["k"], n=row["n"], share=self._four(row["share"]), low=low, high=high,
        )  # fmt: skip

    def _four(self, value: float) -> str:
        return self._language.number(value, 4)

    def _official(self, official: Mapping[str, Any]) -> Iterator[Row]:
        phrase, share = self.phrase, self.share
        yield phrase("official test pictures, arg-max"), share(official["correct"])
        if "one_look" in official:
            yield phrase("... of one look at each"), share(official["one_look"])
        yield phrase("... full decision"), share(official["decision"])
        if "apart" in official:
            yield phrase("... that show nothing a training picture shows"), share(official["apart"])

    def _corruptions(self, corruption: Mapping[str, Any]) -> Iterator[Row]:
        phrase = self.phrase
        yield phrase("corruptions, mean"), self._four(corruption["mean"])
        yield phrase("corruptions, worst (%(cell)s)", cell=corruption["worst_cell"]), self._four(corruption["worst"])

    def _line(self, line: Mapping[str, Any]) -> Iterator[Row]:
        phrase, share = self.phrase, self.share
        yield phrase("line: defects found"), share(line["found"])
        yield phrase("line: right label"), share(line["labelled_right"])
        yield phrase("line: false alarms on clean tiles"), share(line["clean_tiles"])
        yield from self._surfaces(line.get("clean_surfaces"))
        if "clean_tiles_reviewed" in line:
            yield phrase("... on grounds without marks that nobody boxed"), share(line["clean_tiles_reviewed"])
        if "clean_tiles_reviewed_pictures" in line:
            unmarked = line["clean_tiles_reviewed_pictures"]
            yield phrase("... on pictures without such marks"), share(unmarked["alarms"])
            yield from self._surfaces(unmarked["surfaces"])
        yield phrase("line: published defects that lie at a drawn one"), share(line["precision"])
        yield from self._matched(line)
        if "tiles_in_doubt" in line:
            text = phrase("line: tiles of neither kind (a defect only touches them) that alarm")
            yield text, share(line["tiles_in_doubt"])
        place = line["localisation"]
        yield phrase("line: ECE"), line["ece"]
        yield phrase("line: published box touches the defect"), share(place["box_touches"])
        yield phrase("line: share of a found defect in its box"), place["covered_mean"]
        yield phrase("line: IoU of box and defect"), place["box_iou_mean"]
        pixels = place["cam_pointing_tolerance_px"]
        beside = phrase("line: CAM points into the defect, or %(pixels)s px beside", pixels=pixels)
        yield beside, share(place["cam_pointing"])

    def _matched(self, line: Mapping[str, Any]) -> Iterator[Row]:
        """Yield the stricter ways to count what was found."""
        phrase, share = self.phrase, self.share
        if "found_by_chance" in line:
            by_chance = line["found_by_chance"]
            text = phrase("line: defects found, judged by what was found on another strip")
            yield text, share(by_chance["found"])
            yield phrase("... and rightly named"), share(by_chance["rightly_named"])
        if "one_to_one" in line:
            matched = line["one_to_one"]
            yield phrase("line: defects found, each by a published one of its own"), share(matched["found"])
            yield phrase("... and rightly named"), share(matched["rightly_named"])
        for least, row in line.get("right_at_iou", {}).items():
            text = phrase("line: defects found and rightly named, IoU of the boxes at least %(least)s", least=least)
            yield text, share(row)

    def _clean(self, clean: Mapping[str, Any]) -> Iterator[Row]:
        phrase = self.phrase
        for source, row in clean.items():
            if isinstance(row, dict) and "alarms" in row:
                yield phrase("clean tiles that alarm, %(source)s", source=source), self.share(row["alarms"])
                yield from self._surfaces(row.get("surfaces"))
        if "grounds" in clean:
            grounds = clean["grounds"]
            count = phrase("%(count)s of %(all)s", count=grounds["give_ground"], all=grounds["pictures"])
            yield phrase("test pictures that give clean ground"), count
            yield phrase("... that leave too little room beside their boxes"), grounds["too_little_room"]
            yield phrase("... whose surface has specks that stand out"), grounds["specks"]

    def _foreign(self, foreign: Mapping[str, Any]) -> Iterator[Row]:
        for source, row in foreign.items():
            if "alarms_reviewed" in row:
                yield self.phrase("tiles that alarm, %(source)s", source=source), self.share(row["alarms"])
                text = self.phrase("... of the reviewed tiles without a visible mark")
                yield text, self.share(row["alarms_reviewed"])

    def _pointing(self, cam: Mapping[str, Any]) -> Iterator[Row]:
        if "pointing" not in cam:
            return
        phrase, share, pixels = self.phrase, self.share, cam["pointing_tolerance_px"]
        beside = phrase("CAM points into a box, or %(pixels)s px beside", pixels=pixels)
        yield beside, share(cam["pointing_within_tolerance"])
        yield phrase("CAM points into a box"), share(cam["pointing_strict"])
        if "left_out" in cam:
            beside = phrase("... of a place drawn at random: in a box or %(pixels)s px beside, in a box", pixels=pixels)
            by_chance = (cam["pointing_within_tolerance_by_chance"], cam["pointing_strict_by_chance"])
            yield beside, self._pair(*map(self._four, by_chance))
            left_out = cam["left_out"]
            text = phrase("... pictures left out: their boxes cover half or more, they have none")
            yield text, self._pair(left_out["boxes_cover_half_or_more"], left_out["no_box"])

    def _pair(self, first: Any, second: Any) -> str:
        return self.phrase("%(first)s, %(second)s", first=first, second=second)

    def _surfaces(self, row: Mapping[str, Any] | None) -> list[Row]:
        """Return what clean tiles are of, where it is known: tiles of one surface alarm together."""
        if row is None:
            return []
        phrase, bounds = self.phrase, row["bootstrap95"]
        interval = phrase("not to be told: none or all alarm")
        if bounds:
            interval = phrase("%(low)s to %(high)s", low=self._four(bounds["low"]), high=self._four(bounds["high"]))
        groups = phrase(
            "%(share)s; %(pictures)s pictures", share=self.share(row["groups_with_alarm"]), pictures=row["pictures"]
        )
        return [
            (phrase("... groups of pictures with an alarm"), groups),
            (phrase("... 95 % when whole groups are drawn anew"), interval),
        ]
