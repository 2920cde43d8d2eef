"""The language of a page: its texts, and how it writes numbers, sizes and times.

A browser says which languages its user reads; there is no key for it, because one station serves people of several.
Texts from elsewhere (names, paths, errors, labels of a bundle) stay as they are, so that they can be searched for.
"""

from __future__ import annotations

import gettext
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

from markupsafe import Markup

ENGLISH = "en"
CODES = (ENGLISH, "de")
"""The languages there are: the texts themselves are English, the others have a catalogue."""
_SEPARATORS = {"de": str.maketrans(",.", ".,")}
"""How `1,234.5` is written elsewhere."""
_UNITS = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))


def N_(text: str) -> str:  # noqa: N802 - the name that extractors of texts know
    """Mark a text for the catalogues; it is translated where it is shown."""
    return text


_AGO = ((N_("%(count)s d ago"), 86400), (N_("%(count)s h ago"), 3600), (N_("%(count)s min ago"), 60))


def choose_code(accepted: str) -> str:
    """Return the language that a browser's `Accept-Language` likes best among ours; English where it names none."""
    wishes = []
    for place, part in enumerate(accepted.split(",")):
        name, _, parameter = part.partition(";")
        key, _, quality = parameter.partition("=")
        try:
            weight = float(quality) if key.strip().lower() == "q" else 1.0
        except ValueError:
            weight = 0.0
        code = name.strip().lower().partition("-")[0]
        if code in CODES and weight > 0:
            wishes.append((-weight, place, code))
    return min(wishes)[2] if wishes else ENGLISH


@dataclass(frozen=True, slots=True)
class Language:
    """One language with its texts.

    Attributes:
        code: As in `lang="…"`.
        texts: The catalogue.
    """

    code: str
    texts: gettext.NullTranslations = field(default_factory=gettext.NullTranslations, repr=False)

    def phrase(self, text: str, **values: str | float) -> str:
        """Return a text in this language, with values at their places."""
        said = self.texts.gettext(text)
        return said % {key: self.figure(value) for key, value in values.items()} if values else said

    def figure(self, value: str | float | None) -> str:
        """Return a number with all its digits, as it was measured; a text stays."""
        return str(value).translate(_SEPARATORS.get(self.code, {})) if isinstance(value, int | float) else str(value)

    def number(self, value: float, digits: int = 0) -> str:
        """Return a number with separators and this many digits after the point."""
        return f"{value:,.{digits}f}".translate(_SEPARATORS.get(self.code, {}))

    def size(self, count: float) -> str:
        """Return a number of bytes in the largest unit that it fills."""
        for unit, size in _UNITS:
            if count >= size:
                return f"{self.number(count / size, 1)} {unit}"
        return self.phrase("%(count)s bytes", count=self.number(count))

    def ago(self, moment: datetime, now: datetime) -> str:
        """Return how long before `now` a moment was."""
        seconds = (now - moment).total_seconds()
        if seconds < -1:
            return self.phrase("in the future: check the clock")
        for text, length in _AGO:
            if seconds >= 2 * length:
                return self.phrase(text, count=self.number(seconds // length))
        return self.phrase("%(count)s s ago", count=self.number(max(0, seconds)))

    def word(self, code: str, table: Mapping[str, str]) -> str:
        """Return what a code name is called in `table`; one that is not in there is shown with spaces."""
        return self.texts.gettext(table[code]) if code in table else code.replace("_", " ")


def code_of_environment(environ: Mapping[str, str]) -> str:
    """Return the language that a terminal's locale asks for, as gettext reads it; English where it is none of ours."""
    asked = next((environ[name] for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG") if environ.get(name)), "")
    codes = [re.split(r"[_.@]", wish)[0].lower() for wish in asked.split(":")]
    return next((code for code in codes if code in CODES), ENGLISH)


def open_language(code: str, folder: Path, domain: str) -> Language:
    """Return a language with the catalogue `FOLDER/locale/CODE/LC_MESSAGES/DOMAIN.mo`; English has none."""
    if code == ENGLISH:
        return Language(code)
    return Language(code, gettext.translation(domain, folder / "locale", [code]))


_DIRECTIONS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)
HIDDEN = {code: f"\\u{code:04x}" for code in (*_DIRECTIONS, 0x2028, 0x2029)}
"""Characters that show nothing and turn the order of the others round, each with how it is written instead."""


def visible(value: Any) -> Any:
    """Return a text in which no character hides or reorders others; markup stays markup, another value as it is."""
    if isinstance(value, Markup):
        return Markup(str(value).translate(HIDDEN))  # noqa: S704 - it was markup before
    return value.translate(HIDDEN) if isinstance(value, str) else value


def local(moment: datetime, zone: tzinfo | None = None) -> str:
    """Return a moment to the second in the zone of a station, with its name; None: of this machine."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def zone_of(moment: datetime, zone: tzinfo | None = None) -> str:
    """Return the zone in force at a moment: its name, and its distance from UTC where that is not said by the name."""
    there = moment.astimezone(zone)
    name = there.tzname() or ""
    return name if name == "UTC" or not name[:1].isalpha() else f"{name}, UTC{_offset(there)}"


def _offset(moment: datetime) -> str:
    text = f"{moment:%z}"
    return f"{text[:3]}:{text[3:5]}"


def utc(moment: datetime) -> str:
    """Return a moment to the second, as it is written in logs and messages, in every language."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
