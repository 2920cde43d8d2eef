"""The monitoring pack follows from the code: nothing stale, nothing unnamed, nothing without a runbook line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from monitors import find_program
from prometheus_client import CollectorRegistry, Counter

from deploy.monitoring import alerts, dashboards, generate, targets
from deploy.monitoring import tune as tune_module
from deploy.monitoring.alerts import ALERTS
from deploy.monitoring.records import recorded
from deploy.monitoring.series import exposed_name, make_metrics, process, select
from inspector.errors import ConfigError
from inspector.settings.sections import Settings

REPOSITORY = Path(__file__).resolve().parent.parent.parent


GENERATED = (
    "deploy/monitoring/prometheus/rules/inspector-records.yml",
    "deploy/monitoring/prometheus/rules/inspector-alerts.yml",
    "deploy/monitoring/prometheus/targets/twenty-stations.json",
    "deploy/monitoring/grafana/dashboards/inspector-overview.json",
    "deploy/monitoring/grafana/dashboards/inspector-station.json",
    "docs/monitoring.md",
)


@pytest.fixture
def generated() -> dict[str, str]:
    """What `make monitoring` would write, by path."""
    pytest.importorskip("grafana_foundation_sdk", reason="grafana-foundation-sdk is not installed (extra dev)")
    return {str(path.relative_to(REPOSITORY)): text for path, text in generate.files().items()}


@pytest.mark.parametrize("path", GENERATED)
def test_the_committed_file_is_what_the_code_gives(path: str, generated: dict[str, str]) -> None:
    """`make monitoring` would change nothing."""
    assert generated[path] == (REPOSITORY / path).read_text(encoding="utf-8"), f"{path} is stale: make monitoring"
    assert set(generated) == set(GENERATED)


@pytest.mark.parametrize(
    ("part", "matchers", "message"),
    [
        pytest.param("", {"verdict": "pass"}, "no label 'verdict'", id="label"),
        pytest.param("", {"outcome": "!=seen"}, "no outcome = ", id="value"),
        pytest.param("", {"outcome": "=~blank|seen"}, "no outcome = ", id="one value of an alternative"),
        pytest.param("bucket", {}, "part is for histograms", id="part"),
    ],
)
def test_a_selector_that_the_metric_does_not_have_ends_the_build(
    part: str, matchers: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        select(make_metrics().frames, part, **matchers)


def test_a_renamed_metric_shows_in_every_generated_file() -> None:
    """The name is read from the metric object, never written down a second time."""
    renamed = Counter("inspector_pictures_total", "", registry=CollectorRegistry())

    assert exposed_name(renamed) == "inspector_pictures_total"
    sources = [path for path in (REPOSITORY / "deploy/monitoring").glob("*.py") if path.name != "targets.py"]
    written = {
        name
        for source in sources
        for name in re.findall(r"(?<![:\w-])inspector_\w+", source.read_text(encoding="utf-8"))
    }
    assert written == set()


def test_unknown_series_are_refused() -> None:
    with pytest.raises(ValueError, match="no rule records"):
        recorded("station:inspector_nothing:rate5m")
    with pytest.raises(ValueError, match="the process collector has no"):
        process("process_moon_phase")


def test_every_metric_has_a_panel() -> None:
    """Nothing is exported that nobody can see."""
    assert set() == dashboards.unused_metrics()


def test_every_alert_has_a_runbook_section_that_says_what_it_means_and_what_to_do() -> None:
    """And the runbook has none for an alert that is gone; links in it lead somewhere."""
    text = (REPOSITORY / "docs/runbook.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))

    assert list(sections) == [alert.name for alert in ALERTS]
    for name, body in sections.items():
        assert "**Means.**" in body, name
        assert "**Do." in body or "**Do**" in body, name
    assert set(re.findall(r"\]\(#(\w+)\)", text)) <= {name.lower() for name in sections}


def test_alerts_point_to_their_runbook_section_and_say_the_first_step() -> None:
    """Whoever is called needs no network to know what to do first."""
    for alert in ALERTS:
        assert alert.action.endswith("."), alert.name
        assert alert.meaning.endswith("."), alert.name
        assert "://" not in alert.meaning + alert.action, alert.name


def test_alerts_name_the_runbook_where_the_package_puts_it() -> None:
    """On a line PC the page is there; the section bears the name of the alert."""
    rules = (REPOSITORY / "deploy/monitoring/prometheus/rules/inspector-alerts.yml").read_text(encoding="utf-8")
    package = (REPOSITORY / "deploy/deb/build.sh").read_text(encoding="utf-8")
    names = re.findall(r'runbook_url: "file:///usr/share/doc/inspector/runbook\.md#(\w+)"', rules)

    assert names == [alert.name.lower() for alert in ALERTS]
    assert "\ndoc=usr/share/doc/inspector\n" in package
    assert re.search(r"^for file in .*\brunbook\b.*; do$", package, re.MULTILINE)


def test_alerts_have_the_annotations_that_its_tools_know() -> None:
    """Summary, description, runbook and dashboard; the dashboard is one of the pack, opened at the station."""
    rules = (REPOSITORY / "deploy/monitoring/prometheus/rules/inspector-alerts.yml").read_text(encoding="utf-8")
    keys = re.findall(r"^          (\w+): ", rules, re.MULTILINE)
    boards = {board.uid for board in dashboards.BOARDS}

    assert keys == ["severity", "summary", "description", "runbook_url", "dashboard_url"] * len(ALERTS)
    assert set(re.findall(r"/d/([\w-]+)", rules)) == {"inspector-station"}
    assert "inspector-station" in boards
    assert "var-station=" in rules


def tune(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.monitoring.tune", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)


def test_without_a_change_the_tuned_rules_are_the_shipped_ones() -> None:
    """What `tune` prints is what `make monitoring` writes."""
    shipped = (REPOSITORY / "deploy/monitoring/prometheus/rules/inspector-alerts.yml").read_text(encoding="utf-8")

    assert tune().stdout == shipped


def test_limits_waiting_times_and_addresses_can_be_set(tmp_path: Path) -> None:
    """A plant's own limits are in the expressions and in the texts, and nothing else changes."""
    done = tune("--set", "burst_defects=50", "--set", "share_low=0.8", "--for", "InspectorBlind=2m",
                "--runbook", "https://wiki/x", "--grafana", "https://grafana/")  # fmt: skip

    assert "> 50\n" in done.stdout
    assert "Over 50 defects of one label" in done.stdout
    assert "inspector_coverage:ratio15m < 0.8" in done.stdout
    assert re.search(r"alert: InspectorBlind\n(.*\n)*?        for: 2m\n", done.stdout)
    assert 'runbook_url: "https://wiki/x#inspectorblind"' in done.stdout
    assert "https://grafana/d/inspector-station" in done.stdout
    if promtool := shutil.which("promtool"):
        (tmp_path / "rules.yml").write_text(done.stdout)
        subprocess.run([promtool, "check", "rules", tmp_path / "rules.yml"], check=True, capture_output=True)


@pytest.mark.parametrize("limit", alerts.limit_rows())
def test_each_limit_changes_the_rules(limit: str) -> None:
    """No limit is without effect, and each is explained in docs/monitoring.md."""
    changed = alerts.make_alerts(tune_module.read_limits([f"{limit}=0"]))

    assert changed != ALERTS
    assert f"| `{limit}` |" in (REPOSITORY / "docs/monitoring.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["--set", "burst=5"], "no such limit: burst", id="no limit"),
        pytest.param(["--set", "burst_defects=many"], "burst_defects: expected a number: 'many'", id="no number"),
        pytest.param(["--set", "share_low=-1"], "share_low: expected a number from 0 on: '-1'", id="negative"),
        pytest.param(
            ["--set", "share_low=nan"], "share_low: expected a number from 0 on: 'nan'", id="no number at all"
        ),
        pytest.param(["--for", "InspectorBlynd=5m"], "no such alert: InspectorBlynd", id="no alert"),
        pytest.param(["--for", "InspectorBlind=soon"], "expected a time as 30s, 5m or 1h30m: 'soon'", id="no time"),
    ],
)
def test_what_cannot_be_tuned_is_refused(arguments: list[str], said: str) -> None:
    """Exit code 2, and nothing that Prometheus could read."""
    done = tune(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_panels_that_count_events_count_each_once() -> None:
    """Their windows are as long as their steps, and a step holds three scrapes at least."""
    for path in sorted((REPOSITORY / "deploy/monitoring/grafana/dashboards").iterdir()):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            counted = [target["expr"] for target in panel.get("targets", []) if "increase(" in target["expr"]]
            if panel["type"] not in ("timeseries", "heatmap") or not counted:
                continue
            assert all("[$__interval]" in expr and "$__rate_interval" not in expr for expr in counted), panel["title"]
            assert panel["interval"] == "15s", panel["title"]


@pytest.mark.real
def test_the_overview_counts_the_alert_that_no_station_is_left(promtool: str, deploy: Path, tmp_path: Path) -> None:
    """Without any target there is no station in the alert, and the panel does not show 0."""
    (panel,) = [one for row in dashboards.OVERVIEW.rows for one in row.panels if one.title == "Alerts that fire"]
    expr = panel.queries[0].expr.replace("$station", ".+")
    up = 'up{job="inspector",instance="pc1:9108",site="s",line="l",station="s/l/a"}'

    def case(values: str, count: int) -> dict[str, object]:
        samples = [{"labels": "{}", "value": count}]
        return {"interval": "15s", "input_series": [{"series": up, "values": values}],
                "promql_expr_test": [{"expr": expr, "eval_time": "10m", "exp_samples": samples}]}  # fmt: skip

    table = {"rule_files": [str(deploy / "monitoring/prometheus/rules/inspector-alerts.yml")],
             "evaluation_interval": "15s", "tests": [case("_x80", 1), case("0x80", 1), case("1x80", 0)]}  # fmt: skip
    file = tmp_path / "cases.yml"
    file.write_text(json.dumps(table))
    ran = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_panels_have_room_and_words() -> None:
    """No panel overlaps another, every one has a title and a description, every id is its own."""
    for path in sorted((REPOSITORY / "deploy/monitoring/grafana/dashboards").iterdir()):
        built = json.loads(path.read_text(encoding="utf-8"))
        cells: set[tuple[int, int]] = set()
        for panel in built["panels"]:
            grid = panel["gridPos"]
            left, top = grid["x"], grid["y"]
            mine = {(x, y) for x in range(left, left + grid["w"]) for y in range(top, top + grid["h"])}
            assert not cells & mine, panel["title"]
            assert grid["x"] + grid["w"] <= 24
            cells |= mine
            assert panel["title"]
            assert panel["type"] == "row" or panel["description"]
        ids = [panel["id"] for panel in built["panels"]]
        assert len(ids) == len(set(ids))
        assert {variable["name"] for variable in built["templating"]["list"]} == {"datasource", "station"}


# --- Configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.real
def test_prometheus_takes_the_configuration_with_twenty_stations(promtool: str, deploy: Path) -> None:
    ran = subprocess.run(
        [promtool, "check", "config", deploy / "monitoring/prometheus/prometheus.yml"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stdout + ran.stderr
    stations = json.loads((deploy / "monitoring/prometheus/targets/twenty-stations.json").read_text())
    assert len({entry["targets"][0] for entry in stations}) == 20
    assert len({entry["labels"]["station"] for entry in stations}) == 20


@pytest.mark.real
def test_alertmanager_takes_the_configuration_and_sends_levels_their_way(deploy: Path) -> None:
    amtool = find_program("amtool", "prometheus-alertmanager")
    config = deploy / "monitoring/alertmanager/alertmanager.yml"

    subprocess.run([amtool, "check-config", config], check=True, capture_output=True)
    ways = {
        level: subprocess.run(
            [amtool, "config", "routes", "test", f"--config.file={config}", f"severity={level}"],
            check=True, capture_output=True, text=True,
        ).stdout.strip()
        for level in ("critical", "warning", "info")
    }  # fmt: skip

    assert ways == {"critical": "shift", "warning": "shift", "info": "quality"}


# --- Targets ----------------------------------------------------------------------------------------------------------


def station(name: str = "cam1", **http: object) -> Settings:
    return Settings.model_validate(
        {
            "station": {"site": "works", "line": "l1", "name": name},
            "source": {"kind": "folder", "path": "/srv/frames"},
            "http": http,
        }
    )


def test_a_target_is_where_the_station_listens_and_who_it_is() -> None:
    secret = {"address": "0.0.0.0", "cert_file": "/c", "key_file": "/k", "token_file": "/t"}
    entries = targets.collect([station("cam1"), station("cam2", port=9109), station("cam3", enabled=False)])
    remote = targets.collect([station("cam1", **secret)], "pc7.example")

    assert entries == [
        {"targets": ["127.0.0.1:9108"], "labels": {"site": "works", "line": "l1", "station": "works/l1/cam1"}},
        {"targets": ["127.0.0.1:9109"], "labels": {"site": "works", "line": "l1", "station": "works/l1/cam2"}},
    ]
    assert remote[0]["targets"] == ["pc7.example:9108"]
    assert remote[0]["labels"]["__scheme__"] == "https"


@pytest.mark.parametrize(
    ("stations", "host", "message"),
    [
        pytest.param([("a", {}), ("b", {})], None, "two stations have one address: 127.0.0.1:9108", id="port"),
        pytest.param([("a", {}), ("a", {"port": 9109})], None, "two stations have one name: works/l1/a", id="name"),
        pytest.param([("a", {"port": 0})], None, "http.port = 0", id="any port"),
        pytest.param([("a", {})], "pc7.example", "pc7.example does not reach it", id="loopback"),
    ],
)
def test_targets_that_cannot_work_are_refused(
    stations: list[tuple[str, dict[str, object]]], host: str | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        targets.collect([station(name, **http) for name, http in stations], host)


def test_the_target_tool_runs_as_a_file_with_nothing_but_inspector_installed(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"cam{number}.toml").write_text(
            f'[station]\nsite = "works"\nline = "l1"\nname = "cam{number}"\n'
            f'[source]\nkind = "folder"\npath = "/srv"\n[http]\nport = {9107 + number}\n'
        )

    ran = subprocess.run(
        [sys.executable, REPOSITORY / "deploy/monitoring/targets.py", *sorted(tmp_path.glob("*.toml"))],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip

    assert [entry["targets"] for entry in json.loads(ran.stdout)] == [["127.0.0.1:9108"], ["127.0.0.1:9109"]]
