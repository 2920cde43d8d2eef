"""How right events are, by people: a blind sample drawn by class, answers, confusion, bounds, repeatability; pure.

An answer is blind if its person did not see what the station had said. What people verified on the station's pages is
not blind, is counted apart, and says so.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inspector.acceptance.statistics import kappa, wilson

NOTHING = "clean"
"""Answer for a place where nothing is."""
UNSURE = "?"
TWICE_SHARE = 0.1
"""Share of a sample that is shown twice, under another code: how well a person repeats."""


@dataclass(frozen=True, slots=True)
class Item:
    """One row of a blind sheet.

    Attributes:
        code: What the inspector sees instead of a name.
        defect_id: The event.
        label: What the station said.
        again: Whether the event is in the sheet under another code before.
    """

    code: str
    defect_id: str
    label: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What one person said of one event.

    Attributes:
        defect_id: The event.
        person: Who.
        label: What it is; `clean`: nothing.
        blind: Whether the person did not see what the station had said.
        again: The second answer of this person on this event.
    """

    defect_id: str
    person: str
    label: str
    blind: bool
    again: bool = False


def draw_sample(events: Mapping[str, str], size: int, seed: int) -> list[Item]:
    """Return a sample of events, the same number of each class as far as there are so many, in random order.

    Args:
        events: Label by id.
        size: How many events; a tenth of them comes twice.
        seed: The same seed and events give the same sample.
    """
    chance = random.Random(seed)  # noqa: S311 - a sample that can be drawn again
    strata: dict[str, list[str]] = defaultdict(list)
    for key in sorted(events):
        strata[events[key]].append(key)
    for rows in strata.values():
        chance.shuffle(rows)
    chosen: list[str] = []
    while len(chosen) < size and any(strata.values()):
        for label in sorted(strata):
            if strata[label] and len(chosen) < size:
                chosen.append(strata[label].pop())
    twice = chance.sample(chosen, round(TWICE_SHARE * len(chosen)))
    rows = chosen + twice
    order = list(range(len(rows)))
    chance.shuffle(order)
    seen: set[str] = set()
    items = []
    for number, at in enumerate(order, 1):
        key = rows[at]
        items.append(Item(f"{number:03}", key, events[key], key in seen))
        seen.add(key)
    return items


def truth_of(verdict: str, label: str | None, published: str) -> str | None:
    """Return what a verified event is; None: the person was not sure."""
    return {"confirmed": published, "false_call": NOTHING, "reclassified": label}.get(verdict)


def evaluate(events: Mapping[str, str], answers: Sequence[Answer], population: Mapping[str, int]) -> dict[str, Any]:
    """Return how right events are.

    Args:
        events: Label that the station gave, by id.
        answers: What people said, `UNSURE` left out.
        population: How many events of each label there were, for the share over all.

    Returns:
        `classes` with confusion, share of right events and its bounds at 95 %; `overall`, weighted by how many events
        of each class there were; `agreement` of each two persons, and of each with itself (`repeats`).
    """
    first = [one for one in answers if not one.again and one.defect_id in events]
    confusion: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for one in first:
        confusion[events[one.defect_id]][one.label] += 1
    classes = []
    for label in sorted(confusion):
        said = confusion[label]
        total, right = sum(said.values()), said.get(label, 0)
        low, high = wilson(right, total)
        wrong_low, wrong_high = wilson(said.get(NOTHING, 0), total)
        classes.append({
            "label": label, "answers": total, "right": right, "share": right / total, "low": low, "high": high,
            "false_calls": said.get(NOTHING, 0), "false_low": wrong_low, "false_high": wrong_high,
            "confusion": dict(sorted(said.items(), key=lambda pair: -pair[1])),
        })  # fmt: skip
    return {
        "events": len({one.defect_id for one in first}),
        "persons": sorted({one.person for one in first}),
        "blind": sum(one.blind for one in first),
        "not_blind": sum(not one.blind for one in first),
        "classes": classes,
        "overall": _overall(classes, population),
        "agreement": _agreement(first),
        "repeats": _repeats(answers),
    }


def _overall(classes: Sequence[Mapping[str, Any]], population: Mapping[str, int]) -> dict[str, float] | None:
    """Return the share of right events over all, each class by its weight; the error by strata (Cochran, 1977)."""
    whole = sum(population.get(one["label"], 0) for one in classes)
    if not whole:
        return None
    share = variance = 0.0
    for one in classes:
        weight, total = population.get(one["label"], 0) / whole, one["answers"]
        likely = (one["right"] + 1) / (total + 2)  # of no wrong answer in three, too, something is uncertain
        share += weight * one["share"]
        variance += weight * weight * likely * (1 - likely) / total
    half = 1.96 * variance**0.5
    return {"share": share, "low": max(0.0, share - half), "high": min(1.0, share + half)}


def _agreement(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    by_person: dict[str, dict[str, str]] = defaultdict(dict)
    for answer in answers:
        by_person[answer.person][answer.defect_id] = answer.label
    people = sorted(by_person)
    found = []
    for at, one in enumerate(people):
        for other in people[at + 1 :]:
            shared = sorted(by_person[one].keys() & by_person[other].keys())
            if shared:
                found.append(_pairs(one, other, [(by_person[one][key], by_person[other][key]) for key in shared]))
    return found


def _repeats(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    first = {(one.person, one.defect_id): one.label for one in answers if not one.again}
    pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for one in answers:
        if one.again and (one.person, one.defect_id) in first:
            pairs[one.person].append((first[one.person, one.defect_id], one.label))
    return [_pairs(person, person, rows) for person, rows in sorted(pairs.items())]


def _pairs(one: str, other: str, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    same = sum(first == second for first, second in pairs)
    low, high = wilson(same, len(pairs))
    value = kappa(pairs)
    return {"one": one, "other": other, "events": len(pairs), "same": same, "low": low, "high": high, "kappa": value}


def as_table(result: Mapping[str, Any]) -> list[str]:
    """Return lines of text."""
    lines = [
        f"{'class':<20}  {'answers':>7}  {'right':>6}  {'95 % bounds':>15}  {'false':>6}  {'95 % bounds':>15}  else"
    ]
    for one in result["classes"]:
        other = ", ".join(
            f"{label} {count}" for label, count in one["confusion"].items() if label not in (one["label"], NOTHING)
        )
        wrong = one["false_calls"] / one["answers"]
        lines.append(
            f"{one['label']:<20}  {one['answers']:>7}  {one['share']:>6.1%}  {one['low']:>6.1%} – {one['high']:>6.1%}"
            f"  {wrong:>6.1%}  {one['false_low']:>6.1%} – {one['false_high']:>6.1%}  {other}"
        )
    if result["overall"] is not None:
        whole = result["overall"]
        lines.append(
            f"all events, by their number: {whole['share']:.1%} right ({whole['low']:.1%} – {whole['high']:.1%})"
        )
    for one in (*result["agreement"], *result["repeats"]):
        who = f"{one['one']} and {one['other']}" if one["one"] != one["other"] else f"{one['one']}, twice"
        beyond = "not defined" if one["kappa"] is None else f"{one['kappa']:.2f}"
        lines.append(f"{who}: {one['same']} of {one['events']} the same, kappa {beyond}")
    lines.append(
        f"{result['events']} events, {result['blind']} blind answers, {result['not_blind']} by who saw the station's"
    )
    return lines
