"""Write the catalogues of the pages: texts from code and templates to `.pot`, into each `.po`, compiled to `.mo`.

scripts/write_catalogs.py   # write; then translate what is empty in the .po, and write again
scripts/write_catalogs.py --check  # exit 1 if something is stale or not translated (a test runs this)

A new language is an empty `locale/CODE/LC_MESSAGES/NAME.po` and a code in `inspector/pages/language.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

REPOSITORY = Path(__file__).parents[1]
PARTS = {
    "pages": ("inspector/http", "inspector/pages"),
    "coil": ("inspector/reports", "inspector/pages"),
    "report": ("training/judge", "inspector/pages"),
}
"""Catalogue, and the folders whose texts are in it; it lies in the first."""
METHODS = [("templates/*.html", "jinja2.ext:babel_extract"), ("*.py", "python")]
KEYWORDS = {**DEFAULT_KEYWORDS, "phrase": None}
OPTIONS = {"templates/*.html": {"trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"}}


class PlainCatalog(Catalog):
    """A catalogue whose header says only what `gettext` needs, so that it is the same on every machine and day."""

    @property
    def mime_headers(self) -> list[tuple[str, str]]:
        """The header's lines."""
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Transfer-Encoding", "8bit")]
        if self.locale is not None:
            headers += [("Language", str(self.locale)), ("Plural-Forms", self.plural_forms)]
        return headers


def collect(part: str, code: str | None = None, known: Mapping[str, str] | None = None) -> Catalog:
    """Return the texts of a part as a catalogue, with the translations that are known."""
    catalog = PlainCatalog(
        code, header_comment=f"# Texts of {PARTS[part][0]}; written by scripts/write_catalogs.py.", fuzzy=False
    )
    for folder in PARTS[part]:
        for name, _, text, comments, _ in extract_from_dir(REPOSITORY / folder, METHODS, OPTIONS, KEYWORDS):
            if not isinstance(text, str):
                raise TypeError(f"{name}: plural forms are not used so far: {text}")
            catalog.add(text, (known or {}).get(text, ""), [(f"{folder}/{name}", 0)], auto_comments=comments)
    return catalog


def as_text(catalog: Catalog) -> bytes:
    """Return a catalogue as people translate it: without line numbers, which change with every edit."""
    buffer = BytesIO()
    write_po(buffer, catalog, width=120, sort_output=True, include_lineno=False)
    return buffer.getvalue()


def as_compiled(catalog: Catalog) -> bytes:
    """Return a catalogue as `gettext` reads it."""
    buffer = BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


def all_files() -> tuple[dict[Path, bytes], list[str]]:
    """Return every file as it should be, and what is wrong with translations.

    A translation is plain text with the same places for values as its text: a page takes it for markup.
    """
    files, faults = {}, []
    for part, (folder, *_) in PARTS.items():
        files[REPOSITORY / folder / "locale" / f"{part}.pot"] = as_text(collect(part))
        for source in sorted((REPOSITORY / folder / "locale").glob(f"*/LC_MESSAGES/{part}.po")):
            known = {message.id: message.string for message in read_po(BytesIO(source.read_bytes())) if message.id}
            catalog = collect(part, source.parts[-3], known)
            files[source] = as_text(catalog)
            files[source.with_suffix(".mo")] = as_compiled(catalog)
            faults += [
                f"{source.relative_to(REPOSITORY)}: {message.id}"
                for message in catalog
                if message.id and (not message.string or list(message.check()) or {*'<>&"'} & {*message.string})
            ]
    return files, faults


def main() -> int:
    """Write or check; returns the exit code."""
    check = "--check" in sys.argv
    files, faults = all_files()
    stale = [path for path, data in files.items() if not path.is_file() or path.read_bytes() != data]
    for path in stale:
        sys.stdout.write(f"{'stale' if check else 'written'}: {path.relative_to(REPOSITORY)}\n")
        if not check:
            path.write_bytes(files[path])
    for fault in faults:
        sys.stdout.write(f"not translated: {fault}\n")
    return 1 if faults or (check and stale) else 0


if __name__ == "__main__":
    sys.exit(main())
