"""Languages: which one a browser gets, how it writes numbers and times, and that its catalogue is whole."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bench import Bench, Seen, ask, still

from inspector.http.language import CODES, Language, choose_code, open_language
from inspector.http.page import CATALOGUE, FOLDER, PageFacts

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("accepted", "code"),
    [
        pytest.param("", "en", id="nothing asked"),
        pytest.param("*", "en", id="any"),
        pytest.param("de", "de", id="German"),
        pytest.param("de-AT,de;q=0.9,en-US;q=0.8,en;q=0.7", "de", id="a region"),
        pytest.param("DE-ch", "de", id="large letters"),
        pytest.param("en-GB,en;q=0.9,de;q=0.8", "en", id="English first"),
        pytest.param("fr,it;q=0.9,de;q=0.4,en;q=0.3", "de", id="the best of ours"),
        pytest.param("en;q=0.3, de;q=0.4", "de", id="order does not count"),
        pytest.param("de;q=0, en", "en", id="not German"),
        pytest.param("de;q=0", "en", id="only not German"),
        pytest.param("fr,pl", "en", id="none of ours"),
        pytest.param("den,deutsch", "en", id="names that begin like it"),
        pytest.param("de;q=x,,;;q==,en;q=0.1", "en", id="nonsense"),
        pytest.param("de;q=nan,en;q=inf", "en", id="no numbers"),
    ],
)
def test_the_browser_chooses(accepted: str, code: str) -> None:
    """A page is in the language that the browser's user likes best among ours, and in English if there is none."""
    assert choose_code(accepted) == code


@pytest.mark.parametrize(
    ("code", "written"),
    [
        pytest.param("en", ["1,234,567", "0.50", "1.5 MiB", "1,023 bytes", "5 min ago", "3 d ago", "0 s ago"], id="en"),
        pytest.param("de", ["1.234.567", "0,50", "1,5 MiB", "1.023 Byte", "vor 5 min", "vor 3 Tagen", "vor 0 s"],
                     id="de"),
    ],
)  # fmt: skip
def test_figures_are_written_as_people_do(code: str, written: list[str]) -> None:
    """Numbers, sizes and spans of time are written as in the language of the page."""
    language = open_language(code, FOLDER, CATALOGUE)

    assert written == [
        language.number(1234567),
        language.number(0.5, 2),
        language.size(1.5 * (1 << 20)),
        language.size(1023),
        language.ago(NOW - timedelta(minutes=5), NOW),
        language.ago(NOW - timedelta(days=3), NOW),
        language.ago(NOW, NOW),
    ]


def test_a_moment_in_the_future_is_reported() -> None:
    """A clock that was set back shows, instead of a span that is wrong."""
    assert Language("en").ago(NOW + timedelta(seconds=5), NOW) == "in the future: check the clock"


def test_a_code_name_without_a_word_is_shown() -> None:
    """What a table does not know is shown as it is, with spaces."""
    assert Language("en").word("new_reason", {"other": "Other"}) == "new reason"


def test_the_catalogues_are_whole() -> None:
    """Every text of code and templates is in each catalogue with its translation, and the compiled ones are current."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "write_catalogs.py", "--check"], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, ""), "run: .venv/bin/python scripts/write_catalogs.py"


def test_every_language_has_its_catalogue() -> None:
    """A language that can be chosen is one that lies there, and the other way round."""
    assert {path.parts[-3] for path in FOLDER.glob("locale/*/LC_MESSAGES/*.mo")} == set(CODES) - {"en"}


def test_the_page_speaks_german(bench: Bench) -> None:
    """A German browser gets the page in German, with its numbers; names, labels and what is published stay."""
    bench.find(still(), "crack")
    bench.metrics.frames.labels("inspected").inc(999_999)
    bench.metrics.frames.labels("dropped").inc(1)
    bench.health.update("blind", "source_down: camera gone")
    bench.facts = PageFacts({"golden tiles": "exact"}, simulated=True)

    answer = ask(bench.app(), "/", headers={"Accept-Language": "de-DE,de;q=0.9,en;q=0.5"})

    assert (answer.headers["content-language"], answer.headers["vary"]) == ("de", "Accept-Language")
    assert '<html lang="de">' in answer.text
    text = Seen(answer.text).text
    for part in ("Die Oberfläche wird NICHT geprüft.", "99,99 %", "999.999 Bilder", "Quelle ausgefallen: camera gone",
                 "verworfen: zu schnell für diesen Rechner", "Score 0,90 liegt 0,10 über der Schwelle 0,80.",
                 "Einstellbar mit: decision.thresholds.crack.", "SIMULIERT", "Referenzkacheln", "Broker: abgeschaltet",
                 "2026-03-01 12:00:00 UTC", "vor 0 s"):  # fmt: skip
        assert part in text


@pytest.mark.parametrize("code", CODES)
def test_machines_read_the_same_in_every_language(bench: Bench, code: str) -> None:
    """The values of meters and moments are for the browser: they keep their point in every language."""
    bench.metrics.frames.labels("inspected").inc(3)
    bench.metrics.frames.labels("dropped").inc(1)

    text = ask(bench.app(), "/", headers={"Accept-Language": code}).text

    assert '<meter min="0" max="1" value="0.7500"' in text
    assert '<time datetime="2026-03-01T12:00:00+00:00">' in text


def test_without_a_wish_the_page_is_english(bench: Bench) -> None:
    """A program that names no language gets the English page."""
    answer = ask(bench.app(), "/")

    assert answer.headers["content-language"] == "en"
    assert "Coverage since the start" in answer.text
