"""`inspector.store.forget_person`: a name goes from everything that is kept, and nothing else does."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes import NOON, FakeClock, entry, make_frame, track_rules

from inspector.command_table import COMMANDS, Origin
from inspector.commands.forget import forget_name
from inspector.commands.records import actions_as_table, stored_actions
from inspector.errors import ConfigError
from inspector.items import Command
from inspector.messages import DefectMessage
from inspector.store.entries import Entry
from inspector.store.store import Store
from inspector.track.memory import to_text
from inspector.track.operators import paused_gap
from inspector.track.state import TrackState
from inspector.track.track import track


@pytest.fixture
def config(tmp_path: Path) -> Path:
    text = '[station]\nsite = "s"\nline = "l"\nname = "n"\n[source]\nkind = "demo"\n[mqtt]\nenabled = false\n'
    (tmp_path / "cam1.toml").write_text(text + f'[store]\npath = "{tmp_path / "state"}"\n')
    return tmp_path / "cam1.toml"


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Store:
    """A coil in which ann paused twice, bob once, ann judged a defect and shelved its label."""
    store = Store(tmp_path / "state", clock)
    store.coils.change("C-7", round(NOON.timestamp() * 1000))
    [defect] = [body for body in store.commit([entry(0, "crack")]) if isinstance(body, DefectMessage)]
    state = TrackState()

    def ask(name: str, seconds: float, **values: Any) -> None:
        nonlocal state
        payload = COMMANDS[name].model.model_validate(values).model_dump_json()
        command = store.commands.accept(Command(NOON + timedelta(seconds=seconds), name, payload), "", Origin())
        state, drafts = track(state, command, track_rules())
        if state.operators.pause is not None:
            frame = make_frame(round(seconds), captured_at=command.at)
            state, more = track(state, paused_gap(state.operators.pause, frame), track_rules())
            drafts += more
        store.commit([Entry(drafts, {}, commands=[command])], to_text(state))

    for second, person in enumerate(["ann", "bob", "ann"], 1):
        ask("pause", second, person=person, reason="lens")
    ask("pause", 4, off=True, person="bob")
    ask("verify", 5, defect_id=defect.defect_id, verdict="false_call", person="ann")
    ask("shelve", 6, label="crack", person="ann", reason="roll mark")
    store.outbox.enable([])
    return store


def contents(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_name_goes_from_all_that_is_kept(config: Path, store: Store, tmp_path: Path) -> None:
    """No file of the store has the name any more; messages keep their ids and numbers, other names stay."""
    before = store.reader.rows((1, 100), 100)
    store.close()
    folder = tmp_path / "state"
    assert b'"ann"' in contents(folder)
    planned = forget_name(config, "ann", dry_run=True)
    done = forget_name(config, "ann")

    assert planned == done
    assert [done[key] for key in ("records", "commands", "reviews", "waiting", "still_in")] == [2, 4, 1, 0, []]
    assert b'"ann"' not in contents(folder)
    assert b'"bob"' in contents(folder)
    again = Store(folder, FakeClock())
    assert again.reader.rows((1, 100), 100) == before
    assert again.aside is None
    again.close()
    assert forget_name(config, "ann")["records"] == 0


def test_what_people_did_while_a_coil_ran_is_listed(config: Path, store: Store) -> None:
    """Who did what, when, until when and why, the oldest first; by coil, or the newest of all."""
    store.close()
    actions = stored_actions(config, "C-7")
    head, *lines = actions_as_table(actions)

    assert [(one["command"], one["person"]) for one in actions] == [
        ("pause", "ann"), ("pause", "bob"), ("pause", "ann"), ("pause", "bob"), ("verify", "ann"), ("shelve", "ann"),
    ]  # fmt: skip
    assert (actions[0]["until"], actions[-1]["until"]) == ("2026-03-01T12:00:02.000Z", "2026-03-01T13:00:06.000Z")
    assert actions == stored_actions(config, None)
    assert head.split() == ["at,", "UTC", "command", "until,", "UTC", "person", "what"]
    assert lines[-1].endswith("shelve    2026-03-01T13:00:06.000  ann           label=crack reason=roll mark")
    json.dumps(actions)
    with pytest.raises(ConfigError, match="no such coil"):
        stored_actions(config, "C-8")
