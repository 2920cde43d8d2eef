"""How a page is made: a template of Jinja2, in which every value is text unless a template says otherwise.

Templates are in `templates/` beside the module that fills them, their catalogues in `locale/`. A value that a template
names and does not get is an error.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from inspector.pages.language import local, open_language, utc, visible, zone_of


@cache
def templates(folder: Path, domain: str, code: str) -> Environment:
    """Return the templates of a folder in one language.

    Args:
        folder: Holds `templates/` and `locale/`.
        domain: Name of the catalogue.
        code: One of `language.CODES`.
    """
    language = open_language(code, folder, domain)
    environment = Environment(
        loader=FileSystemLoader(folder / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(language.texts, newstyle=True)  # type: ignore[attr-defined]  # from i18n
    environment.globals["language"] = language
    environment.filters.update(
        ago=language.ago,
        at=partial(datetime.fromtimestamp, tz=UTC),
        figure=language.figure,
        moment=datetime.fromisoformat,
        number=language.number,
        size=language.size,
        local=local,
        utc=utc,
        word=language.word,
        zone=zone_of,
    )
    return environment
