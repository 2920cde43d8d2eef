"""Real Prometheus on the real daemon: every query has data, real trouble raises alerts, one cause makes one call."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from monitors import Alertmanager, Prometheus, Webhook, find_program
from peers import Broker, Daemon, free_port, wait_for
from taught import teach

from deploy.monitoring import targets
from deploy.monitoring.alerts import ALERTS
from deploy.monitoring.dashboards import BOARDS, queries
from deploy.monitoring.records import RECORDS
from inspector.model.bundle import DEFAULT_BUNDLE, SHIPPED, load_bundle
from inspector.settings.loading import load_settings

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

_SELECTOR = re.compile(r"(?<![\w:])((?:inspector|process|station|station_\w+)[_:][\w:]+(?:\{[^}]*\})?|up\{[^}]*\})")


def every_query() -> Iterator[tuple[str, str]]:
    """Panels, marks, recorded series, and each selector that a rule looks at."""
    for board in BOARDS:
        for where, expr in queries(board):
            yield (
                where,
                expr.replace("$station", "test/line/cam")
                .replace("$__rate_interval", "20s")
                .replace("$__interval", "15s"),
            )
    for record in RECORDS:
        yield f"record {record.name}", record.name
    for rule in (*RECORDS, *ALERTS):
        for selector in _SELECTOR.findall(rule.expr):
            yield f"selector of {rule.name}", selector


def has_data(prometheus: Prometheus, expr: str) -> bool:
    """Whether at least one value came that is a number."""
    return any(not math.isnan(float(row["value"][1])) for row in prometheus.query(expr))


def test_every_query_of_the_pack_returns_data(
    plain_broker: Broker, make_station: Callable[..., Daemon], make_prometheus: Callable[..., Prometheus]
) -> None:
    """Each panel, mark, recorded series and selector of an alert gives at least one number on a taught station."""
    port = free_port()
    station = make_station("cam", port, plain_broker.port, 'kind = "demo"\nspeed_m_s = 0.5')
    teach(station.config.parent / "state", load_bundle(SHIPPED / DEFAULT_BUNDLE))
    prometheus = make_prometheus()
    entries = targets.collect([load_settings(station.config).settings])
    (prometheus.folder / "targets/stations.json").write_text(targets.render(entries))
    prometheus.start()
    station.start()
    station.started()
    missing = dict.fromkeys(every_query())
    assert len(missing) > 120

    def all_seen() -> bool:
        for query in [query for query in missing if has_data(prometheus, query[1])]:
            del missing[query]
        return not missing

    try:
        wait_for(all_seen, "data for every query", 90, 0.5)
    except AssertionError:
        pytest.fail("no data for:\n" + "\n".join(f"  {where}: {expr}" for where, expr in missing))


# --- Alerts from real trouble -----------------------------------------------------------------------------------------


@pytest.fixture
def strict_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A mosquitto that lets everybody in and nobody publish a defect."""
    find_program("mosquitto", "mosquitto")
    folder = tmp_path_factory.mktemp("strict")
    allowed = "\n".join(
        f"topic readwrite inspector/+/+/+/{topic}"
        for topic in ("status", "about", "health", "frame", "alarm", "coverage", "mark")
    )
    (folder / "acl").write_text(allowed + "\n")
    broker = Broker(folder, f"allow_anonymous true\nacl_file {folder / 'acl'}\n")
    broker.start()
    yield broker
    broker.kill()


@pytest.mark.data
def test_real_trouble_raises_the_right_alerts(
    tmp_path: Path,
    data_folder: Path,
    plain_broker: Broker,
    strict_broker: Broker,
    make_station: Callable[..., Daemon],
    make_prometheus: Callable[..., Prometheus],
    alertmanager: Alertmanager,
    webhook: Webhook,
) -> None:
    """Damaged files, a broker that refuses, a wrong reload, another bundle, deaths, a missing folder: each is named.

    The waiting times (`for`) are taken out, and DefectBurst looks at ten seconds instead of ten minutes: both are
    covered by the unit tests of the rules.
    """
    pictures = sorted((data_folder / "neu-det/NEU-DET/validation/images").rglob("*.jpg"))
    scratches = [path for path in pictures if path.name.startswith("scratches")]
    others = [path for path in pictures if not path.name.startswith("scratches")]
    frames = tmp_path / "frames"
    frames.mkdir()
    cam1, cam2 = free_port(), free_port()
    source = f'kind = "folder"\npath = "{frames}"'
    station = make_station("cam1", cam1, strict_broker.port, source, "")
    text = station.config.read_text().replace("[store]", "[store]\noutbox_limit_bytes = 65536")
    station.config.write_text(text)
    blind = make_station("cam2", cam2, plain_broker.port, f'kind = "folder"\npath = "{tmp_path / "nothing"}"')
    prometheus = make_prometheus(hold=False, alertmanager_port=alertmanager.port)
    rules = prometheus.folder / "rules/inspector-alerts.yml"
    rules.write_text(rules.read_text().replace("[10m]", "[10s]"))
    prometheus.watch({"cam1": cam1, "cam2": cam2})
    prometheus.start()
    fired: set[str] = set()

    def fires(*names: str) -> None:
        def look() -> bool:
            fired.update(prometheus.firing())
            return set(names) <= fired

        wait_for(look, f"{', '.join(names)} to fire; so far: {sorted(fired)}", 90, 0.25)

    fires("InspectorDown cam1", "InspectorDown cam2")
    station.start()
    blind.start()
    station.started()
    fires("InspectorBlind cam2")
    wait_for(lambda: "InspectorBlind cam2" in webhook.told("/shift"), "the call about the blind station")
    plain_broker.kill()
    fires("BrokerAway cam2")
    wait_for(lambda: "BrokerAway cam2" in webhook.told("/shift"), "the call about the broker of the blind station")

    for number, path in enumerate(others):
        shutil.copyfile(path, frames / f"a{number:04}.jpg")
        if number % 5 == 0:
            (frames / f"a{number:04}b.jpg").write_bytes(path.read_bytes()[:2000])
    fires("CoverageLow cam1", "BrokerRejects cam1", "MessagesLost cam1", "OutboxFilling cam1")
    wait_for(
        lambda: not has_data(prometheus, "sum(increase(inspector_tiles_total[10s])) > 0"), "the others to pass", 60, 0.5
    )
    for path in scratches[:40]:  # over 20, and per tile well over five times the share among all pictures
        shutil.copyfile(path, frames / path.name)
    fires("DefectBurst cam1")

    station.config.write_text(text + "\n[nonsense]\nkey = 1\n")
    station.hang_up()
    fires("ReloadFailed cam1")

    station.config.write_text(text + '\n[model]\npath = "neu-224"\n')
    station.hang_up()
    fires("BundleChanged cam1")

    for _ in range(3):
        start = prometheus.query('process_start_time_seconds{station="test/line/cam1"}')[0]["value"][1]
        station.kill()
        station.start()
        wait_for(
            partial(has_data, prometheus, f'process_start_time_seconds{{station="test/line/cam1"}} != {start}'),
            "the next start to be scraped", 60, 0.25,
        )  # fmt: skip
    fires("Restarting cam1")

    wait_for(lambda: "DefectBurst cam1" in webhook.told("/quality"), "word to quality")
    assert {name.split()[0] for name in fired} <= {alert.name for alert in ALERTS}
    unexpected = {"SelfTestStale", "OffDomain", "FallingBehind"}  # NotProgressing leans on its waiting time at a start
    assert not {name for name in fired if name.split()[0] in unexpected}


def test_one_cause_makes_one_call(alertmanager: Alertmanager, webhook: Webhook) -> None:
    """Down silences everything else about its station, Blind what comes of it, neither another station's."""

    def alert(name: str, station: str) -> dict[str, object]:
        level = next(alert.level for alert in ALERTS if alert.name == name)
        return {
            "labels": {"alertname": name, "severity": level, "site": "s", "line": "l", "station": f"s/l/{station}"},
            "endsAt": (datetime.now(UTC) + timedelta(minutes=5)).isoformat(),
        }

    every = [rule.name for rule in ALERTS]
    blind = [name for name in every if name != "InspectorDown"]
    rest = [name for name in blind if name != "InspectorBlind"]
    alertmanager.post(
        [alert(name, "a") for name in every]
        + [alert(name, "b") for name in blind]
        + [alert(name, "c") for name in rest]
    )
    delivery = [name for name in rest if name.startswith("Broker")]
    delivery += ["MessagesLost", "OutboxFilling", "NothingDelivered", "FilesNotWritten"]
    expected = {"InspectorDown a", "InspectorBlind b", *(f"{name} b" for name in delivery)}
    expected |= {f"{name} c" for name in rest}

    wait_for(lambda: expected <= webhook.told(), "the calls")

    states = alertmanager.alerts()
    assert {name for name, inhibited_by in states.items() if not inhibited_by} == {
        f"{name.split()[0]} s/l/{name.split()[1]}" for name in expected
    }
    assert webhook.told() == expected
