"""Which recipe holds for which frame: the first that fits the coil, from the first frame of the coil on.

A coil that is named takes its place among the frames by its time; the frames that are taken from the queue after it are
inspected by its recipe. Where coils begin in other ways (a file's name, a length, a tracking point before the camera),
the tracker says so, and frames that are in flight by then still go by the recipe before.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import structlog

from inspector.items import CoilChange, CoilFacts, Command
from inspector.json_text import parse_json
from inspector.settings.recipe import Recipe, fitting, name_of
from inspector.station.in_force import Rules
from inspector.strip.record import CoilRecord
from inspector.track.track import coil_change

MAX_PLANNED = 64
"""Changes that frames in the queue may still lie before; older ones are forgotten."""

_log = structlog.get_logger("daemon")


@dataclass(frozen=True, slots=True)
class _Change:
    """From when on which recipe holds; None: none fits."""

    from_mono_s: float
    number: int | None


class Recipes:
    """Written by whoever puts items into the inbox, and by the committer; read by the dispatcher and health.

    Args:
        recipes: Of the configuration.
        make: Returns the rules of a recipe, or with None those of a coil that none fits, for the rules in force.
        at_once: A coil begins where it is named.
    """

    def __init__(
        self, recipes: Sequence[Recipe], make: Callable[[Rules, int | None], Rules], at_once: bool = True
    ) -> None:
        self._recipes = recipes
        self._make = make
        self._at_once = at_once
        self._guard = threading.Lock()
        self._plan: list[_Change] = [_Change(float("-inf"), None)]
        self._coil: tuple[str | None, CoilFacts] = (None, CoilFacts())
        self._seen: tuple[str | None, CoilFacts] = self._coil
        self._named: deque[str | None] = deque([None], maxlen=MAX_PLANNED)
        self._made: dict[int | None, tuple[Rules, Rules]] = {}

    def begin(self, coil: CoilRecord | None, coming: CoilChange | None = None) -> None:
        """Take over the coil that runs at the start, or is on its way; what was named since is known already."""
        seen = _named(coil)
        if coming is not None and self._at_once:
            seen = coming.coil_id, coming.facts
        with self._guard:
            self._seen = seen
            self._plan[0] = _Change(float("-inf"), self._number(*seen))
            if len(self._plan) == 1:
                self._coil = seen
            self._named.append(seen[0])

    def follow(self, word: object, now_mono_s: float) -> None:
        """Hear what takes its place among the frames: a coil that is named brings its recipe."""
        if isinstance(word, CoilChange):
            said = word.coil_id, word.facts
        elif isinstance(word, Command) and word.name == "coil":
            change = coil_change(word.at, parse_json(word.payload.encode()))
            said = change.coil_id, change.facts
        else:
            return
        if self._at_once:
            with self._guard:
                self._named.append(said[0])
                self._change(*said, now_mono_s)

    def seen(self, coil: CoilRecord | None, now_mono_s: float) -> None:
        """Hear from the tracker which coil runs; one that was not named before brings its recipe now."""
        seen = _named(coil)
        with self._guard:
            if seen != self._seen and not (self._at_once and seen[0] in self._named):
                self._change(*seen, now_mono_s)
            self._seen = seen

    def _change(self, coil_id: str | None, facts: CoilFacts, now_mono_s: float) -> None:
        before = self._coil[1] if coil_id == self._coil[0] else CoilFacts()
        told = {each.name: value for each in fields(CoilFacts) if (value := getattr(facts, each.name)) is not None}
        self._coil = coil_id, replace(before, **told)
        number = self._number(*self._coil)
        if number != self._plan[-1].number:
            self._plan = [*self._plan, _Change(now_mono_s, number)][-MAX_PLANNED:]
            _log.info("recipe", recipe=None if number is None else name_of(self._recipes, number), coil_id=coil_id)

    def _number(self, coil_id: str | None, facts: CoilFacts) -> int | None:
        fits = [] if coil_id is None else fitting(self._recipes, facts)
        rivals = [number for number in fits if self._recipes[number].match is not None]  # one without: for the rest
        if len(rivals) > 1:
            names = [name_of(self._recipes, number) for number in rivals]
            _log.warning("recipe_ambiguous", coil_id=coil_id, recipe=names[0], also=", ".join(names[1:]))
        return fits[0] if fits else None

    def rules(self, base: Rules, placed_mono_s: float) -> Rules:
        """Return the rules for what has this place among the frames."""
        with self._guard:
            number = next(one.number for one in reversed(self._plan) if one.from_mono_s <= placed_mono_s)
            made = self._made.get(number)
            if made is None or made[0] is not base:
                made = self._made[number] = base, self._make(base, number)
            return made[1]

    @property
    def present(self) -> str | None:
        """Name of the recipe that holds from now on; None: none does."""
        number = self._plan[-1].number
        return None if number is None else name_of(self._recipes, number)

    @property
    def lacking(self) -> str | None:
        """Why none holds, for health; None: one does."""
        coil_id, facts = self._coil
        if self._plan[-1].number is not None:
            return None
        if coil_id is None:
            return "no coil is named, so no recipe is chosen: it observes and raises no alarm"
        known = (("product", facts.product), ("grade", facts.grade), ("thickness_mm", facts.thickness_mm))
        said = ", ".join(f"{key} {value}" for key, value in known if value is not None)
        return f"none fits coil {coil_id} ({said or 'nothing is said of it'}): it observes and raises no alarm"


def _named(coil: CoilRecord | None) -> tuple[str | None, CoilFacts]:
    return (None, CoilFacts()) if coil is None else (coil.coil_id, coil.facts)
