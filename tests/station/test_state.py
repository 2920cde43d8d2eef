"""`inspector.station.committer`: what `track` remembers is stored with the messages and found at the next start."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from fakes import LABELS, FakeClock, PaintedClassifier, ScriptedSource, decision_rules, make_frame, track_rules
from prometheus_client import CollectorRegistry

from inspector.clock import to_timestamp_ms
from inspector.frame import Frame, Gap
from inspector.inspection.one_frame import InspectRules
from inspector.inspection.tiling import TilingRules
from inspector.items import CoilChange
from inspector.sources.queues import FrameQueue
from inspector.station.committer import Committer, CommitterOptions
from inspector.station.dispatcher import Dispatcher
from inspector.station.in_force import Rules, RulesInForce
from inspector.station.inbox import Inbox
from inspector.store.store import Store
from inspector.telemetry.metrics import Metrics
from inspector.track.memory import from_text

SEVERITY = {"crack": "critical", "hole": "major", "rust": "minor"}


def line_frame(number: int, defect: bool, mono_s: float = 0.0) -> Frame:
    """Frame `number` of a line stream, 64 lines each, with or without a crack over all of it."""
    grey = np.full((64, 64), 200 if defect else 203, np.uint8)  # the painted classifier reads the label from the grey
    grey[::2, ::2] -= 60
    grey[32, 32] = 200 if defect else 203
    return make_frame(number, grey, first_line=64 * number, captured_mono_s=mono_s, identity=f"line-{number}")


def commit_all(store: Store, clock: FakeClock, frames: Sequence[Frame | Gap], inbox: Inbox, end: bool) -> None:
    """Run a committer over these frames; without `end` it dies as if killed, before it could close anything."""
    items: FrameQueue = FrameQueue(50)
    for frame in frames:
        items.put(frame)
    rules = InspectRules(TilingRules(64), decision_rules())
    metrics = Metrics(CollectorRegistry(), LABELS[:3], SEVERITY)  # type: ignore[arg-type]
    dispatcher = Dispatcher(items, PaintedClassifier(), RulesInForce(Rules(rules, track_rules())), 1, clock, metrics)
    committer = Committer(dispatcher, ScriptedSource(()), store, inbox, None, track_rules(), CommitterOptions(0.5, "b"),
                          clock, metrics, lambda _: None)  # fmt: skip
    if end:
        dispatcher.drain()
        dispatcher.start()
        committer.start()
        assert committer.join(30)
        return
    dispatcher.drain()
    dispatcher.start()
    while not dispatcher.finished:
        dispatcher.take(0, 0.05)
    committer.take(dispatcher.take(99, 1))


def defects(store: Store) -> list[tuple[str, str, str | None]]:
    """Phase, id and coil of the defect messages, in order."""
    rows = [json.loads(row.payload) for row in store.outbox.pending(0, 999) if row.topic == "defect"]
    return [(row["phase"], row["defect_id"], row["coil_id"]) for row in rows]


def test_a_defect_that_was_open_at_a_kill_is_closed_by_the_next_start(tmp_path: Path, clock: FakeClock) -> None:
    """Killed with a defect open, a station closes it at its next start, under its id and in its coil."""
    with closing(Store(tmp_path, clock)) as store:
        inbox = Inbox(clock)
        inbox.put(CoilChange(clock.now(), "C-7"))
        store.coils.change("C-7", to_timestamp_ms(clock.now()))
        commit_all(store, clock, [line_frame(0, True, clock.mono_s)], inbox, end=False)
        before = defects(store)
    with closing(Store(tmp_path, clock)) as store:
        commit_all(store, clock, [make_frame(0, epoch=2, first_line=0, identity="later")], Inbox(clock), end=True)
        after = defects(store)

    assert [(phase, coil) for phase, _, coil in before] == [("opened", "C-7")]
    assert after[: len(before) + 1] == [*before, ("closed", before[0][1], "C-7")]


def test_a_coil_changes_between_frames_by_their_time(tmp_path: Path, clock: FakeClock) -> None:
    """Frames that were captured before the change are of the previous coil, however late they are committed."""
    with closing(Store(tmp_path, clock)) as store:
        inbox = Inbox(clock)
        frames = [line_frame(0, True, clock.mono_s - 1), line_frame(2, True, clock.mono_s + 1)]
        inbox.put(CoilChange(clock.now(), "C-8"))
        commit_all(store, clock, frames, inbox, end=True)
        coils = [coil for phase, _, coil in defects(store) if phase == "opened"]

    assert coils == [None, "C-8"]


def test_a_coil_that_was_named_just_before_a_kill_is_not_lost(tmp_path: Path, clock: FakeClock) -> None:
    """The word of a coil is durable before it takes its place; the next start makes up for the rest."""
    with closing(Store(tmp_path, clock)) as store:
        store.coils.change("C-9", to_timestamp_ms(clock.now()))
    with closing(Store(tmp_path, clock)) as store:
        commit_all(store, clock, [line_frame(0, True, clock.mono_s + 1)], Inbox(clock), end=True)
        coils = {coil for _, _, coil in defects(store)}

    assert coils == {"C-9"}


def test_a_clean_line_does_not_write_the_state_for_each_frame(tmp_path: Path, clock: FakeClock) -> None:
    """What only places the next frame is stored once a second; what a crash must not lose is stored at once."""
    with closing(Store(tmp_path, clock)) as store:
        written: list[str] = []
        commit = store.commit
        store.commit = lambda entries, state=None: (written.append(state or ""), commit(entries, state))[1]  # type: ignore[method-assign, func-returns-value]
        for number in range(5):
            commit_all(store, clock, [line_frame(number, False)], Inbox(clock), end=False)
        clean = [bool(state) for state in written]
        commit_all(store, clock, [line_frame(9, True)], Inbox(clock), end=False)

    assert clean[0] is True  # the first frame places the coil's head
    assert clean[1:] == [False] * 4
    assert from_text(written[-1]).open


def test_a_state_that_cannot_be_read_is_left(tmp_path: Path, clock: FakeClock) -> None:
    """A state of another form does not keep a station from starting."""
    with closing(Store(tmp_path, clock)) as store:
        store.commit([], '{"version": 99}')
        commit_all(store, clock, [line_frame(0, True)], Inbox(clock), end=True)

        assert [phase for phase, _, _ in defects(store)] == ["opened", "closed"]
