"""`[[recipe]]`: what else holds for a product; the plant says on `cmd/coil` which product runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator

from inspector.command_table import Name
from inspector.items import CoilFacts
from inspector.labels import Severity
from inspector.settings.section import Fraction, Section, TopicLevel

Names = Annotated[tuple[Name, ...], Field(min_length=1, max_length=1000)]
Millimetres = Annotated[float, Field(ge=0, le=10_000)]
MAX_RECIPES = 500


class Match(Section):
    """Which coils a recipe is for: all that is named here has to fit; what the plant did not say fits nothing."""

    product: Name | Names | None = Field(default=None, description="What it becomes: one, or a list.")
    grade: Name | Names | None = Field(default=None, description="Of the steel: one, or a list.")
    thickness_mm: tuple[Millimetres, Millimetres] | None = Field(
        default=None, description="From the first to the second, both included."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.thickness_mm is not None and self.thickness_mm[0] > self.thickness_mm[1]:
            raise ValueError(f"thickness_mm: from the thinner to the thicker: {list(self.thickness_mm)}")
        return self

    def fits(self, facts: CoilFacts) -> bool:
        """Say whether a coil is meant."""
        for names, said in ((self.product, facts.product), (self.grade, facts.grade)):
            if names is not None and said not in _listed(names):
                return False
        if self.thickness_mm is None:
            return True
        low, high = self.thickness_mm
        return facts.thickness_mm is not None and low <= facts.thickness_mm <= high

    def covers(self, other: Match) -> bool:
        """Say whether every coil that another means is meant here, too."""
        for names, others in ((self.product, other.product), (self.grade, other.grade)):
            if names is not None and (others is None or not set(_listed(others)) <= set(_listed(names))):
                return False
        if self.thickness_mm is None:
            return True
        if other.thickness_mm is None:
            return False
        return self.thickness_mm[0] <= other.thickness_mm[0] and other.thickness_mm[1] <= self.thickness_mm[1]


class Recipe(Section):
    """A table [[recipe]]: what holds for a product in place of [decision] and [events]; the first that fits counts."""

    name: TopicLevel | None = Field(default=None, description="In messages and health; unset: recipe.NUMBER, from 0.")
    match: Match | None = Field(
        default=None, description="Coils: {product = ..., grade = ..., thickness_mm = [a, b]}; unset: any coil."
    )
    thresholds: dict[str, Fraction] | None = Field(default=None, description="As decision.thresholds, per label.")
    severity: dict[str, Severity] | None = Field(default=None, description="As decision.severity, per label.")
    alarm_hits: int | None = Field(default=None, ge=1, le=1000, description="As events.alarm_hits: N of ...")
    alarm_window: int | None = Field(default=None, ge=1, le=1000, description="... M, as events.alarm_window.")
    alarm_min_severity: Severity | None = Field(default=None, description="As events.alarm_min_severity.")
    alarm_limit: int | None = Field(default=None, ge=1, le=100_000, description="As events.alarm_limit, ...")
    alarm_limit_s: float | None = Field(default=None, gt=0, le=86400, description="... in this time.")
    unclassified_limit: int | None = Field(default=None, ge=0, le=100_000, description="As events.unclassified_limit.")
    reference: TopicLevel | None = Field(
        default=None, description="Reference of inspector teach --reference NAME; unset: the station's."
    )

    @property
    def content_hash(self) -> str:
        """Hash of what it says."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def events(self) -> dict[str, object]:
        """Return what it sets of [events]."""
        keys = ("alarm_hits", "alarm_window", "alarm_min_severity", "alarm_limit", "alarm_limit_s",
                "unclassified_limit")  # fmt: skip
        return {key: value for key in keys if (value := getattr(self, key)) is not None}


def name_of(recipes: Sequence[Recipe], number: int) -> str:
    """Return how messages name a recipe."""
    return recipes[number].name or f"recipe.{number}"


def fitting(recipes: Sequence[Recipe], facts: CoilFacts) -> list[int]:
    """Return the numbers of the recipes that fit a coil; the first of them counts."""
    return [number for number, recipe in enumerate(recipes) if recipe.match is None or recipe.match.fits(facts)]


def check_recipes(recipes: Sequence[Recipe]) -> None:
    """Refuse names that come twice, and recipes that no coil can reach.

    Raises:
        ValueError: Names both.
    """
    names: dict[str, int] = {}
    for number, recipe in enumerate(recipes):
        if (before := names.setdefault(name_of(recipes, number), number)) != number:
            raise ValueError(f"{number}.name: recipe {before} has this name, too: {name_of(recipes, number)!r}")
        for earlier in range(number):
            first, later = recipes[earlier].match, recipe.match
            if first is None or (later is not None and first.covers(later)):
                raise ValueError(
                    f"{number}.match: no coil reaches {name_of(recipes, number)}: each that fits it fits "
                    f"{name_of(recipes, earlier)}, which comes first, too"
                )


def _listed(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names
