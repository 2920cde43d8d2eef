"""`inspector.station.about`: what the station says runs here, in messages, on its page and in metrics."""

from __future__ import annotations

import json

import pytest
from fakes import NOON, FakeClock
from prometheus_client import CollectorRegistry

from inspector.clock import to_timestamp_ms
from inspector.errors import StoreBusyError
from inspector.settings.sections import Settings
from inspector.sinks.base import SinkStatus
from inspector.sinks.mqtt.options import BrokerStatus
from inspector.station.about import About, remember_versions, show_constants
from inspector.station.wiring import OpenModel
from inspector.store.store import Store
from inspector.telemetry.health import HealthBoard
from inspector.telemetry.metrics import SINKS, Metrics


def settings_of(kind: str = "demo") -> Settings:
    source = {"kind": kind} | ({"path": "/frames"} if kind == "folder" else {})
    return Settings.model_validate({"station": {"site": "s", "line": "l", "name": "n"}, "source": source})


def about_of(model: OpenModel, kind: str = "demo") -> About:
    return About(settings_of(kind), model, "drawn strip", "store-1", NOON)


def test_the_message_names_what_decides(model: OpenModel) -> None:
    """Whoever reads `about` knows program, bundle, configuration and store that later messages come from."""
    message = about_of(model).message()

    assert (message.station, message.source, message.store_id) == ("s/l/n", "drawn strip", "store-1")
    assert (message.bundle, message.bundle_sha256) == (model.bundle.short, model.bundle.fingerprint)
    assert settings_of().fingerprint().startswith(message.config)
    assert (message.golden, message.runtime, message.started_at) == ("exact", "none", "2026-03-01T12:00:00.000Z")
    assert "inspector/defect/2" in message.schemas.split()


@pytest.mark.parametrize(
    ("kind", "broker", "simulated"),
    [("demo", None, True), ("folder", BrokerStatus(connected=True, protocol="5"), False)],
)
def test_the_page_shows_what_runs(model: OpenModel, kind: str, broker: BrokerStatus | None, simulated: bool) -> None:
    """The page names all that decides, and marks a drawn strip so that nobody takes it for a line."""
    about = about_of(model, kind)
    files = SinkStatus(True)
    facts, message = about.page_facts(broker, files), about.message()

    assert (facts.broker, facts.files, facts.simulated) == (broker, files, simulated)
    assert facts.rows["station"] == "s/l/n"
    assert facts.rows["topics"] == "inspector/s/l/n"
    assert (facts.rows["bundle"], facts.rows["config"]) == (message.bundle, message.config)
    assert all(facts.rows.values())


def test_retained_payloads_are_as_of_now(model: OpenModel, store: Store, clock: FakeClock) -> None:
    """Each connect publishes what runs, its health, and the coil with the time since when it runs."""
    about, health = about_of(model), HealthBoard("s/l/n", clock)
    clock.advance(10)
    store.coils.change("A", to_timestamp_ms(clock.now()))
    health.update("ok", None)
    retained = about.retained(health, store.coils, lambda: (240, 236))
    payloads = {topic: json.loads(payload) for topic, payload in retained.items()}

    assert set(payloads) == {"about", "health", "coil"}
    assert (payloads["coil"]["coil_id"], payloads["coil"]["since"]) == ("A", "2026-03-01T12:00:10.000Z")
    assert (payloads["coil"]["probes_shown"], payloads["coil"]["probes_found"]) == (240, 236)
    assert payloads["health"]["state"] == "ok"
    assert payloads["about"]["station"] == payloads["coil"]["station"] == "s/l/n"


def test_constant_metrics_name_the_versions(model: OpenModel, metrics: Metrics, registry: CollectorRegistry) -> None:
    """Dashboards join by them; the proof of the model counts from the start."""
    show_constants(metrics, settings_of(), model, NOON)
    card = model.bundle.card
    info = {"name": card.name, "version": card.version, "fingerprint": model.bundle.fingerprint[:12]}

    assert registry.get_sample_value("inspector_bundle_info", info) == 1
    assert registry.get_sample_value("inspector_station_info", {"site": "s", "line": "l", "name": "n"}) == 1
    assert registry.get_sample_value("inspector_workers") == 1
    limits = [registry.get_sample_value("inspector_outbox_limit_bytes", {"sink": sink}) for sink in SINKS]
    assert limits == [settings_of().store.outbox_limit_bytes] * len(SINKS)
    assert registry.get_sample_value("inspector_selftest_last_success_timestamp_seconds") == NOON.timestamp()


def test_what_fingerprints_mean_is_kept(model: OpenModel, store: Store) -> None:
    """Configuration and card can be read years later under the fingerprints that messages carry."""
    remember_versions(store.notes, settings_of(), model)
    with store.database.transaction() as db:
        rows = db.execute("SELECT kind, fingerprint, text FROM configurations").fetchall()
    kept = {kind: (fingerprint, json.loads(text)) for kind, fingerprint, text in rows}

    assert kept["configuration"] == (settings_of().fingerprint(), settings_of().model_dump(mode="json"))
    assert kept["bundle"][0] == model.bundle.fingerprint
    assert kept["bundle"][1]["labels"] == list(model.bundle.card.labels)


def test_a_full_disk_keeps_nothing_and_ends_nothing(
    model: OpenModel, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The station starts all the same: what cannot be kept is a line in the log."""

    def refuse(*_: object) -> None:
        raise StoreBusyError("disk full")

    monkeypatch.setattr(store.notes, "remember", refuse)

    remember_versions(store.notes, settings_of(), model)
