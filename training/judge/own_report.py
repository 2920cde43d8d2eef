"""The page of `own`: one sentence, then what stands behind it. Its text and order stand in `templates/own.html`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inspector.pages.language import ENGLISH, Language, open_language
from inspector.pages.templates import templates
from training.files import write_bytes
from training.judge.gallery import Gallery
from training.judge.report import CATALOGUE, FOLDER, hang


def write_own_report(
    folder: Path, results: Mapping[str, Any], gallery: Gallery, code: str = ENGLISH
) -> tuple[str, Path]:
    """Write `own.html` into `folder`; return the sentence that it begins with, and its path.

    Args:
        folder: Made when missing.
        results: As `own_model.make_own` collects them.
        gallery: Pictures that are decided otherwise than they are labelled.
        code: The language of the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    language = open_language(code, FOLDER, CATALOGUE)
    sentence = OwnVerdict(language).sentence(results)
    page = (
        templates(FOLDER, CATALOGUE, code)
        .get_template("own.html")
        .render(
            results=results,
            sentence=sentence,
            rooms=[(room, len(exhibits), hang(exhibits, language)) for room, exhibits in gallery.rooms.items()],
        )
    )
    write_bytes(folder / "own.html", page.encode())
    return sentence, folder / "own.html"


class OwnVerdict:
    """Makes the sentence.

    Args:
        language: In which it is read.
    """

    def __init__(self, language: Language) -> None:
        self.phrase = language.phrase  # by this name `scripts/write_catalogs.py` finds the texts

    def sentence(self, results: Mapping[str, Any]) -> str:
        """Return what a folder's model is worth in one sentence."""
        compared = results["compared"]
        right = sum(said.get(label, 0) for label, said in results["judged"].items())
        every = sum(sum(said.values()) for said in results["judged"].values())
        names = self.phrase(
            "%(name)s decides %(right)s of %(every)s held-out pictures rightly",
            name=results["name"], right=right, every=every,
        )  # fmt: skip
        return f"{names}; {self._outcome(compared, results['in_service'])}."

    def _outcome(self, compared: Mapping[str, Any], service: str) -> str:
        phrase = self.phrase
        old, new, both = (compared["in_service"]["k"], compared["new"]["k"], compared["new"]["n"])
        against = phrase("it names %(new)s of %(both)s that both can, %(service)s %(old)s",
                         new=new, both=both, service=service, old=old)  # fmt: skip
        match compared["outcome"]:
            case "too_few":
                more = phrase("too few pictures to tell: %(more)s more", more=compared["more"])
                return f"{against}: {more}"
            case "no_difference":
                return f"{against}: " + phrase("no difference is shown, keep %(service)s", service=service)
            case "better":
                return f"{against}: " + phrase("the new model is better")
            case "worse":
                return f"{against}: " + phrase("%(service)s is better, keep it", service=service)
            case "nothing_new":
                return phrase("%(service)s has learned from all of them, so they cannot be compared", service=service)
            case _:
                return phrase("%(service)s knows none of their labels, so they cannot be compared", service=service)
