"""The stations' example files go together with the broker's."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspector.demo.run import DEMO_KEYS
from inspector.settings.loading import load_settings

REPOSITORY = Path(__file__).resolve().parent.parent.parent
EXAMPLES = sorted((REPOSITORY / "deploy/install/examples").glob("*.toml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_user_of_an_example_is_the_one_that_the_broker_lets_write(example: Path) -> None:
    """`acl` gives rights below inspector/%u: another user is let in, and nothing it publishes is taken."""
    settings = load_settings(example, environ={}).settings

    assert "pattern write inspector/%u/defect\n" in (REPOSITORY / "deploy/mosquitto/acl").read_text(encoding="utf-8")
    assert settings.mqtt.username is None or settings.root == f"inspector/{settings.mqtt.username}"


def test_the_packaged_demo_is_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """`inspector@demo` runs with the keys of `inspector demo`, and on each machine below a root of its own."""
    monkeypatch.setattr("socket.gethostname", lambda: "linepc7")
    loaded = load_settings(REPOSITORY / "deploy/install/demo.toml", environ={})
    values = loaded.json_values()

    assert {key: values[key] for key in DEMO_KEYS} == DEMO_KEYS
    assert loaded.settings.root == "inspector/demo/strip/linepc7"
