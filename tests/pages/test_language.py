"""Languages: which one a browser gets, and how it writes numbers and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from inspector.http.page import CATALOGUE, FOLDER
from inspector.pages.language import Language, choose_code, code_of_environment, open_language

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
    ("environ", "code"),
    [
        pytest.param({}, "en", id="nothing"),
        pytest.param({"LANG": "C.UTF-8"}, "en", id="no language"),
        pytest.param({"LANG": "de_DE.UTF-8"}, "de", id="German"),
        pytest.param({"LANG": "de_DE.UTF-8", "LC_ALL": "en_US.UTF-8"}, "en", id="overruled"),
        pytest.param({"LANG": "en_US.UTF-8", "LC_MESSAGES": "de_CH"}, "de", id="messages only"),
        pytest.param({"LANG": "en_US.UTF-8", "LANGUAGE": "fr:de:en"}, "de", id="a list"),
        pytest.param({"LANG": "pl_PL.UTF-8"}, "en", id="none of ours"),
        pytest.param({"LANG": "de_DE.UTF-8", "LC_ALL": ""}, "de", id="empty counts as unset"),
    ],
)
def test_a_terminal_chooses_by_its_locale(environ: dict[str, str], code: str) -> None:
    """What a command writes for its user is in the language of the locale, found as gettext finds it."""
    assert code_of_environment(environ) == code


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
