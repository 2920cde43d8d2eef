"""The status page: what it shows, in which words, and that nothing from outside becomes markup."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from bench import Bench, Seen, ask, still
from fakes import NOON, inspected, make_defect, make_frame, track_rules

from inspector.frame import Cause
from inspector.http import words
from inspector.http.page import PageFacts, PageView, render_page
from inspector.labels import Severity
from inspector.messages import DefectMessage
from inspector.pages.language import CODES
from inspector.sinks.base import SinkStatus
from inspector.sinks.mqtt.options import BrokerStatus
from inspector.store.entries import Entry
from inspector.telemetry.counts import Counts
from inspector.telemetry.health import Facts, HealthLimits, State, judge_health
from inspector.telemetry.metrics import LOST, REJECTED, SUPPRESSED
from inspector.track.operators import LineState, OperatorState, Pause, Shelf
from inspector.track.state import TrackState
from inspector.track.track import track


@pytest.mark.parametrize(
    ("table", "codes"),
    [
        pytest.param(words.STATE_NAME, get_args(State), id="states"),
        pytest.param(words.STATE_TEXT, get_args(State), id="states in a sentence"),
        pytest.param(words.CAUSE_TEXT, [cause.value for cause in Cause], id="causes of a gap"),
        pytest.param(words.SEVERITY_TEXT, get_args(Severity), id="severities"),
        pytest.param(words.PHASE_TEXT, get_args(DefectMessage.model_fields["phase"].annotation), id="phases"),
        pytest.param(words.SUPPRESSED_TEXT, SUPPRESSED, id="rules of alarms"),
        pytest.param(words.NO_ALARM_TEXT, SUPPRESSED, id="rules of alarms in a sentence"),
        pytest.param(words.LOST_TEXT, LOST, id="lost messages"),
        pytest.param(words.REJECTED_TEXT, REJECTED, id="refusals"),
    ],
)
def test_the_page_has_words_for_every_code_name(table: dict[str, str], codes: Iterable[str]) -> None:
    """No state of health, cause of a gap, severity, phase or reason is shown by its code name."""
    assert set(table) == set(codes)


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(Facts(store_reason="x"), id="store"),
        pytest.param(Facts(source_reason="x"), id="source"),
        pytest.param(Facts(True, missed_cause=Cause.FROZEN), id="frozen"),
        *[pytest.param(Facts(True, missed_frames=99, missed_cause=cause), id=cause.value)
          for cause in Cause if cause.looked],
        pytest.param(Facts(True, live=True, idle_s=99), id="no frames"),
        pytest.param(Facts(True, outbox_share=1), id="outbox"),
        pytest.param(Facts(True, delivery_reason="broker: x"), id="broker"),
        pytest.param(Facts(True, unknown_share=1, recent_tiles=99), id="off domain"),
        pytest.param(Facts(True, dropped_share=1), id="falling behind"),
        pytest.param(Facts(True, untaught="x"), id="untaught"),
        pytest.param(Facts(True, source_ended=True), id="ended"),
        pytest.param(Facts(True, idle_s=99), id="idle"),
    ],
)  # fmt: skip
def test_the_page_has_a_word_for_every_reason(facts: Facts) -> None:
    """The first word of each reason of health has a text, so that it can be read in every language."""
    assert str(judge_health(facts, HealthLimits(off_domain_share=0.5))[1]).partition(":")[0] in words.REASON_TEXT


def test_the_page_has_a_word_for_health_that_is_old(bench: Bench) -> None:
    """So has the reason that the board itself gives."""
    bench.clock.advance(60)

    assert str(bench.health.message().reason).partition(":")[0] in words.REASON_TEXT


def test_the_page_needs_nothing_else(bench: Bench) -> None:
    """The page has no script, no inline style and no address off the station, and its style is the one allowed."""
    bench.find(still(), "crack", "hole")
    answer = ask(bench.app(), "/")

    seen = Seen(answer.text)
    style = answer.text.split("<style>")[1].split("</style>")[0]
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert not {"script", "iframe", "form", "object", "link"} & set(seen.tags)
    assert not [name for name, _ in seen.attributes if name == "style" or name.startswith("on")]
    assert all((value or "").startswith("/") for name, value in seen.attributes if name in ("src", "href"))
    assert f"style-src 'sha256-{allowed}'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("rules", "alarm", "why", "key"),
    [
        pytest.param({}, True, "Score 0.90 reaches the threshold 0.80 by 0.10. To", "decision.thresholds.crack",
                     id="threshold"),
        pytest.param({"mode": "observe"}, False, "this station only observes", "decision.mode", id="mode"),
        pytest.param({"alarm_min_severity": "critical"}, True, "Score 0.90 reaches", "decision.thresholds.crack",
                     id="severe enough"),
        pytest.param({"alarm_hits": 2, "alarm_window": 5}, False, "seen in 1 of the last 5 frames", "events.alarm_hits",
                     id="n of m"),
        pytest.param({"alarm_limit": 0}, False, "as many alarms for crack as may leave", "events.alarm_limit",
                     id="limit"),
    ],
)  # fmt: skip
def test_each_defect_says_why(bench: Bench, rules: dict[str, Any], alarm: bool, why: str, key: str) -> None:
    """A defect shows label, score, severity, alarm or not, the rule in plain words and the key that would change it."""
    bench.find(still(), "crack", rules=track_rules(**rules))

    text = Seen(ask(bench.app(), "/").text).text

    assert ("no alarm" in text) is not alarm
    for part in ("crack", "0.90", "critical", why, f"To change that: {key}.", "2026-03-01 12:00:00 UTC"):
        assert part in text


def test_something_unclassified_says_why(bench: Bench) -> None:
    """It shows its distance in place of a score, what it exceeds, and the key that would let it be an alarm."""
    rules = track_rules(reference="0123456789ab", unclassified_threshold=4.0)
    found = inspected(still(), make_defect("unclassified", score=0.61, distance=5.25))
    bench.store.commit([Entry(track(TrackState(), found, rules)[1], {})])

    text = Seen(ask(bench.app(), "/").text).text

    parts = ("unclassified", "5.25", "minor", "no alarm", "Distance 5.25 from the reference exceeds 4.00 by 1.25",
             "what is unclassified raises none. To change that: events.alarm_unclassified.")  # fmt: skip
    for part in parts:
        assert part in text
    assert "Score" not in text


def test_what_comes_from_outside_is_text(bench: Bench) -> None:
    """File names, reasons, facts and queries cannot become markup."""
    evil = "<img src=x onerror=alert(1)>\"'& 7%(x)s"
    bench.find(still(source_key=evil), "crack")
    bench.health.update("blind", f"source_down: {evil}")
    bench.facts = PageFacts({evil: evil}, BrokerStatus(reason=evil))

    page = ask(bench.app(), "/")

    assert "<img src=x" not in page.text
    assert "onerror" not in dict(Seen(page.text).attributes)
    assert Seen(page.text).text.count(evil.replace("_", " ")) >= 4
    query = ask(bench.app(), "/", params={"refresh": evil})
    assert query.headers["content-type"] == "application/json"


def test_names_that_are_no_text_do_not_break_the_page(bench: Bench) -> None:
    """A path that is not UTF-8 shows with question marks instead of ending in an error."""
    bench.facts = PageFacts({"source": "folder /srv/\udcff"})
    bench.health.update("degraded", "source: /srv/\udcff")

    assert ask(bench.app(), "/").status_code == 200
    assert ask(bench.app(), "/healthz").json()["reason"] == "source: /srv/?"


def test_the_page_shows_twenty_defects_once_each(bench: Bench) -> None:
    """The last twenty defects are there, the newest first; the phases of one are one, with the picture of any."""
    for number in range(25):
        bench.find(still(number), "crack")
    state, opened = track(TrackState(), inspected(make_frame(300), make_defect("hole")), track_rules())
    closed: list[Any] = []
    for number in range(301, 320):
        state, drafts = track(state, inspected(make_frame(number)), track_rules())
        closed += drafts
    assert bench.evidence is not None
    assert opened[0].picture is not None
    kept = bench.evidence.keep(opened[0].body.defect_id, opened[0].picture)  # type: ignore[union-attr]
    assert kept is not None
    bench.store.commit([Entry(opened, {opened[0].body.id: kept}), Entry(closed, {})])

    text = ask(bench.app(), "/").text

    assert {"opened", "closed"} == {row["phase"] for row in bench.store.reader.recent_defects(2)}
    assert text.count('<li class="defect') == 20
    assert text.count("<span>hole</span>") == 1
    assert text.count(f'href="{kept.url}"') == 1
    assert text.index("<span>hole</span>") < text.index("24.png") < text.index("6.png")
    assert "5.png" not in text.replace("15.png", "")


@pytest.mark.parametrize(
    ("fact", "simulated", "banner"),
    [
        pytest.param(True, False, "SIMULATED: these pictures are generated", id="the station says so"),
        pytest.param(False, True, "Some of the defects below are SIMULATED", id="old defects only"),
        pytest.param(False, False, None, id="real"),
    ],
)
def test_simulated_pictures_are_never_taken_for_real(
    bench: Bench, fact: bool, simulated: bool, banner: str | None
) -> None:
    """A banner says that pictures were generated, be it all of them or some."""
    bench.facts = PageFacts({}, simulated=fact)
    bench.find(still(simulated=simulated), "crack")

    text = Seen(ask(bench.app(), "/").text).text

    assert ("SIMULATED" in text) is (banner is not None)
    assert banner is None or banner in text


def test_the_page_shows_what_the_metrics_count(bench: Bench) -> None:
    """Coverage by cause, tiles, alarms, outbox and broker are the numbers of `/metrics`; blind is never clean."""
    metrics = bench.metrics
    metrics.frames.labels("inspected").inc(999_999)
    metrics.frames.labels("dropped").inc(1)
    metrics.tiles.labels("clean").inc(5_000)
    metrics.outbox_messages.labels("mqtt").set(31)
    metrics.outbox_limit.labels("mqtt").set(1 << 20)
    metrics.outbox_lost.labels("mqtt", "rejected").inc(2)
    metrics.last_puback.set(bench.clock.now().timestamp() - 300)

    text = Seen(ask(bench.app(), "/").text).text

    for part in ("99.99 %", "999,999 frames", "too fast for this machine", "5,000", "31 messages waiting",
                 "0 bytes of 1.0 MiB", "lost, rejected", "5 min ago"):  # fmt: skip
        assert part in text


@pytest.mark.parametrize(
    ("broker", "shown"),
    [
        pytest.param(BrokerStatus(), '<p class="bad">Broker: away: connecting</p>', id="not yet there"),
        pytest.param(BrokerStatus(reason="refused"), '<p class="bad">Broker: away: refused</p>', id="away"),
        pytest.param(BrokerStatus(True, protocol="5"), "<p>Broker: connected, MQTT 5</p>", id="connected"),
        pytest.param(None, "<p>Broker: switched off</p>", id="switched off"),
    ],
)
def test_an_absent_broker_stands_out(bench: Bench, broker: BrokerStatus | None, shown: str) -> None:
    """A broker that is away is marked; one that is switched off is not."""
    bench.facts = PageFacts({}, broker)

    assert shown in ask(bench.app(), "/").text


def test_the_pace_is_measured_between_looks(bench: Bench) -> None:
    """The first look knows no rate; later ones show the growth of the last minute, however many look."""
    app, frames = bench.app(), bench.metrics.frames.labels("inspected")
    looks = []
    for seconds, grown in ((0, 0), (0, 0), (10, 50), (30, 0), (40, 800)):
        bench.clock.advance(seconds)
        frames.inc(grown)
        text = Seen(ask(app, "/").text).text
        found = re.search(r"([\d.]+|–) frames per second.*?(known from|over the last \d+ s)", text, re.DOTALL)
        assert found
        looks.append(found.groups())

    assert looks == [
        ("–", "known from"),
        ("–", "known from"),
        ("5.0", "over the last 10 s"),
        ("1.2", "over the last 40 s"),
        ("11.4", "over the last 70 s"),
    ]


@pytest.mark.parametrize(
    ("query", "meta"),
    [
        pytest.param("", '<meta http-equiv="refresh" content="5">', id="by itself"),
        pytest.param("?refresh=30", '<meta http-equiv="refresh" content="30">', id="slower"),
        pytest.param("?refresh=0", None, id="held"),
    ],
)
def test_the_page_refreshes_itself(bench: Bench, query: str, meta: str | None) -> None:
    """A browser asks again without script, unless it is told to hold the page."""
    text = ask(bench.app(), f"/{query}").text

    assert ("http-equiv" in text) is (meta is not None)
    assert meta is None or meta in text


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
    assert '<time datetime="2026-03-01T12:00:00+00:00" title="2026-03-01 12:00:00 UTC">' in text


def test_without_a_wish_the_page_is_english(bench: Bench) -> None:
    """A program that names no language gets the English page."""
    answer = ask(bench.app(), "/")

    assert answer.headers["content-language"] == "en"
    assert "Coverage since the start" in answer.text


def test_inspecting_is_no_verdict(bench: Bench) -> None:
    """A station that inspects says so, and does not call a strip full of critical defects OK."""
    bench.find(still(), "crack", "hole")
    bench.health.update("ok", None)

    page = ask(bench.app(), "/").text
    german = ask(bench.app(), "/", headers={"Accept-Language": "de"}).text

    assert "<h1>INSPECTING</h1>" in page
    assert "<h1>PRÜFT</h1>" in german
    assert not re.search(r"\bOK\b", Seen(page).text + Seen(german).text)


@pytest.mark.parametrize(("state", "now"), [("ok", "100 % of the frames inspected"), ("blind", "nothing now")])
def test_a_blind_station_shows_no_full_meter(bench: Bench, state: State, now: str) -> None:
    """What was inspected before is no comfort while nothing is."""
    bench.metrics.frames.labels("inspected").inc(500)
    bench.health.update(state, "source_down: gone" if state == "blind" else None)

    page = ask(bench.app(), "/").text

    assert now in Seen(page).text
    assert ('value="1.0000"' in page) is (state == "ok")
    assert "100 %" in Seen(page).text


def test_times_are_those_of_the_station(bench: Bench) -> None:
    """A moment is shown in the station's zone with its name; UTC is there to point at, and for machines."""
    bench.find(still(), "crack")
    shown = bench.shown()
    view = PageView(
        shown.health.message(),
        bench.clock.now(),
        bench.store.reader.recent_defects(5),
        Counts.of(bench.metrics),
        PageFacts({"started": "2026-02-28T23:30:00.000Z"}),
        None,
        0,
        ZoneInfo("Europe/Berlin"),
    )

    page = render_page(view)

    assert Seen(page).text.count("2026-03-01 13:00:00 CET") >= 2
    assert '<time datetime="2026-03-01T12:00:00+00:00" title="2026-03-01 12:00:00 UTC">' in page
    assert "2026-03-01 00:30:00 CET" in Seen(page).text
    assert "Times are those of this station (CET, UTC+01:00); messages and log have UTC." in Seen(page).text


def test_a_card_is_short_until_it_is_unfolded(bench: Bench) -> None:
    """Name, tags and time are in sight; the reasons, the place and the file come with a click that needs no script."""
    bench.find(still(), "crack")
    card = ask(bench.app(), "/").text.partition('<li class="defect')[2].partition("</li>")[0]
    folded = card.partition("<details>")[2].partition("</details>")[0]
    in_sight = card.replace(folded, "")

    assert in_sight.count("<p") == 3
    for part in ("reaches the threshold", "decision.thresholds.crack", "runner-up", "0.png", " px"):
        assert part in folded
        assert part not in in_sight


BIDI = "a\u202egnp.kcarc\u2066b\u200f"


def test_no_character_turns_a_name_round(bench: Bench) -> None:
    """Characters that reorder others are written out, in names, reasons and errors; names are isolated."""
    bench.find(still(source_key=f"{BIDI}.png"), "crack")
    bench.health.update("blind", f"source_down: {BIDI}")
    bench.facts = PageFacts({"source": BIDI, BIDI: BIDI}, BrokerStatus(reason=BIDI), SinkStatus(reason=BIDI))

    for code in CODES:
        page = ask(bench.app(), "/", headers={"Accept-Language": code}).text

        assert not {"\u202e", "\u2066", "\u200f"} & set(page)
        assert page.count("a\\u202egnp.kcarc\\u2066b\\u200f") >= 6
        assert "<bdi>a\\u202egnp.kcarc\\u2066b\\u200f.png</bdi>" in page


@pytest.mark.parametrize(
    ("files", "shown"),
    [
        pytest.param(None, None, id="off"),
        pytest.param(SinkStatus(True), "Message files: written", id="written"),
        pytest.param(SinkStatus(reason="disk full"), "Message files: disk full", id="not written"),
        pytest.param(SinkStatus(), "Message files: not written yet", id="not yet"),
    ],
)
def test_each_sink_has_its_row(bench: Bench, files: SinkStatus | None, shown: str | None) -> None:
    """What waits is shown for each sink that is on; the figure above is of the one for which most wait."""
    bench.metrics.outbox_messages.labels("mqtt").set(3)
    bench.metrics.outbox_messages.labels("jsonl").set(8)
    bench.facts = PageFacts({}, BrokerStatus(True, protocol="5"), files)

    text = Seen(ask(bench.app(), "/").text).text

    assert re.search(r"waiting for the broker\s*3\b", text)
    assert bool(re.search(r"waiting for the files\s*8\b", text)) is (files is not None)
    assert shown is None or shown in text


def test_browsers_find_no_icon_and_no_error(bench: Bench) -> None:
    """What every browser asks for is answered."""
    assert ask(bench.app(), "/favicon.ico").status_code == 204


def test_a_narrow_page_has_its_defects_side_by_side(bench: Bench) -> None:
    """On a telephone the twenty cards are swiped through, each with its picture across the screen."""
    style = ask(bench.app(), "/").text.split("<style>")[1].split("</style>")[0]
    narrow = style.partition("(max-width: 40rem)")[2]

    assert re.search(r"\.defects \{[^}]*overflow-x: auto", narrow)
    assert re.search(r"\.defect \{[^}]*flex: 0 0 88%", narrow)


def test_the_page_shows_what_people_asked_for_and_how_to_answer(bench: Bench) -> None:
    """Who paused or shelved what, why and until when; an alarm shows the line that silences it, as it is typed."""
    bench.find(still(), "crack")
    until = NOON + timedelta(hours=2)
    asked = OperatorState(
        (Shelf("s", "rust", 1, 20.5, "bob", "known <roll> mark", NOON, until),),
        Pause("p", "ann", "lens", NOON, until),
        LineState(False, None, NOON),
    )
    nothing = Seen(ask(bench.app(), "/").text).text
    bench.facts = PageFacts({}, operators=asked, config="/etc/inspector/cam1.toml")
    page = ask(bench.app(), "/").text
    text = Seen(page).text

    for part in ("Nothing is inspected until", "ann: lens", "No alarm for rust until", "Only from 1.0 to 20.5 mm.",
                 "bob: known <roll> mark", "The line stands.",
                 "inspector do shelve --config /etc/inspector/cam1.toml label=crack reason=…",
                 "inspector do verify --config /etc/inspector/cam1.toml defect_id="):  # fmt: skip
        assert part in text
    assert "<roll>" not in page
    assert "What people have asked for" not in nothing
