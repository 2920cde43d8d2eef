"""`[alarm]` and `[labels]`: what an operator gets, how severe a defect is, and what the plant calls it."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from inspector.labels import Severity
from inspector.settings.section import Fraction, Section, TopicLevel

Text = Annotated[str, Field(min_length=1, max_length=64)]
Length = Annotated[float, Field(ge=0)]


class SeverityRow(Section):
    """A row of [[alarm.severity]]; what it does not name may be anything."""

    severity: Severity = Field(description="What a defect is that fits the row.")
    label: str | None = Field(default=None, description="Its label.")
    size_mm: Length | None = Field(default=None, description="Its longer side, at least; needs a scale.")
    size_px: Length | None = Field(default=None, description="The same in pixels.")
    score: Fraction | None = Field(default=None, description="Its score, at least.")
    from_mm: Length | None = Field(default=None, description="Some of it lies right of this, from the frame's left.")
    to_mm: Length | None = Field(default=None, description="Some of it lies left of this.")
    per_100m: int | None = Field(
        default=None, ge=1, le=1000, description="So many of its label in the last 100 m, at least; needs lines."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.from_mm is not None and self.to_mm is not None and self.from_mm >= self.to_mm:
            raise ValueError(f"from_mm must be less than to_mm: {self.from_mm:g}, {self.to_mm:g}")
        return self


class Alarm(Section):
    """What one operator gets, over all stations of an area; `events` decides what is an alarm."""

    area: TopicLevel | None = Field(
        default=None, description="The operator's area, one name for all its stations; unset: this station alone."
    )
    per_hour: int = Field(
        default=6,
        ge=1,
        le=100_000,
        description="Alarms an hour in the area; what is beyond is one summary (EEMUA 191).",
    )
    severity: tuple[SeverityRow, ...] = Field(
        default=(), description="Tables [[alarm.severity]]: the first that fits a defect says how severe it is."
    )


class LabelWords(Section):
    """A table [labels.NAME]: what the plant calls a label of the bundle, or one that the site taught itself."""

    code: Text | None = Field(default=None, description="The plant's code.")
    name: Text | dict[str, Text] | None = Field(
        default=None, description="The plant's name, or one for each language: name.de = ...; the first is in messages."
    )
    group: Text | None = Field(default=None, description="The plant's group.")
    severity: Severity | None = Field(default=None, description="As decision.severity, which is stronger.")

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str | dict[str, str] | None) -> str | dict[str, str] | None:
        if isinstance(value, dict) and not value:
            raise ValueError("expected a name for at least one language: name.de = ...")
        return value

    def name_in(self, language: str | None = None) -> str | None:
        """Return the name in a language; None, or a language without one: the first."""
        if not isinstance(self.name, dict):
            return self.name
        return self.name.get(language or "", next(iter(self.name.values())))


class Labels(Section):
    """What the plant calls labels: a table [labels.NAME] for each, with code, name, group and severity."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, LabelWords] = Field(init=False)

    @property
    def words(self) -> dict[str, LabelWords]:
        """By label."""
        return dict(self.__pydantic_extra__ or {})
