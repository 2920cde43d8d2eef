"""`inspector.station.teaching`: another reference is put in force between two frames, and goes out of it again."""

from __future__ import annotations

import pytest
from references import fake_bundle, leave_candidate
from teaching_bench import WHO, Bench, MakeBench

from inspector.teach.accepted import read_accepted
from inspector.teach.durable import write_file
from inspector.teach.files import accept, undo


def test_an_accepted_reference_decides_without_a_restart(bench: Bench) -> None:
    """A candidate changes nothing; once accepted it decides, and rules, health, metrics and messages name it."""
    leave_candidate(bench.folder)
    bench.teaching.look()
    before = bench.rules.now.taught.short, bench.teaching.untaught
    stored = accept(bench.folder, fake_bundle(), WHO)
    bench.teaching.look()
    now = bench.rules.now

    assert before == (None, "it observes and raises no alarm until it is taught its good surface: inspector teach")
    assert now.inspect.decision.reference is not None
    assert now.taught.short == now.track.reference == stored.reference.short == now.inspect.decision.reference.short
    assert bench.teaching.untaught is None
    assert bench.published == [stored.reference.short]
    assert bench.metric("info", reference=stored.reference.short) == 1
    assert bench.metric("accepted_timestamp_seconds") == 1772366400


def test_the_one_before_counts_again(bench: Bench) -> None:
    """`--undo` of the second brings the first back, `--undo` of the only one leaves the station untaught."""
    seen = []
    for threshold in (1.0, 1.5):
        leave_candidate(bench.folder, threshold)
        accept(bench.folder, fake_bundle(), WHO)
        bench.teaching.look()
        seen.append(bench.rules.now.taught.short)
    undo(bench.folder)
    bench.teaching.look()

    assert len(set(seen)) == 2
    assert bench.rules.now.taught.short == seen[0]


def test_a_damaged_reference_leaves_the_present_one_in_force(bench: Bench) -> None:
    """While it runs, a file that was cut exchanges nothing: the one in memory decides on, and health names the file."""
    leave_candidate(bench.folder)
    accept(bench.folder, fake_bundle(), WHO)
    bench.teaching.look()
    in_force = bench.rules.now.taught.short
    (bench.folder / "accepted" / "reference.json").write_bytes(b"{")
    bench.teaching.look()

    assert bench.rules.now.taught.short == in_force
    assert "reference.json" in str(bench.rules.now.taught.trouble)
    assert "stays in force" in str(bench.teaching.untaught)


@pytest.mark.parametrize("spoilt", ["reference.npz", "reference.json"])
def test_a_station_starts_untaught_on_a_damaged_reference(make_bench: MakeBench, spoilt: str) -> None:
    """Nothing keeps a station down: it runs untaught, and says which file is wrong."""
    first = make_bench()
    leave_candidate(first.folder)
    accept(first.folder, fake_bundle(), WHO)
    path = first.folder / "accepted" / spoilt
    path.write_bytes(path.read_bytes()[:-7])
    second = make_bench()

    assert second.rules.now.taught.reference is None
    assert spoilt in str(second.teaching.untaught)


def test_a_reference_of_another_bundle_is_refused_by_name(bench: Bench) -> None:
    """It decides nothing, and what would make it usable is known: a refit."""
    leave_candidate(bench.folder)
    accept(bench.folder, fake_bundle(), WHO)
    accepted = read_accepted(bench.folder, fake_bundle("c" * 64))

    assert accepted.reference is None
    assert accepted.foreign
    assert "another bundle" in str(accepted.trouble)


def test_a_label_that_is_taught_or_forgotten_asks_for_one_reload(bench: Bench) -> None:
    """Each change of the folder is asked for once: taught, taught again, forgotten."""
    folder = bench.folder.parent / "labels"
    folder.mkdir()
    asked, label = [], folder / "drops.json"
    for content in (None, b"{}", b"{ }", None):
        if content is not None:
            write_file(label, content)
        else:
            label.unlink(missing_ok=True)
        bench.teaching.look()
        bench.teaching.look()
        asked.append(len(bench.reloads))

    assert asked == [0, 1, 2, 3]


def test_undoing_to_a_reference_of_another_bundle_is_no_silence(bench: Bench) -> None:
    """The previous one counts again, decides nothing, and the reply says so and why."""
    leave_candidate(bench.folder, bundle_sha256="c" * 64)
    accept(bench.folder, fake_bundle("c" * 64), WHO)
    leave_candidate(bench.folder)
    accept(bench.folder, fake_bundle(), WHO)
    bench.teaching.look()

    assert "counts again, and decides nothing: " in (said := bench.ask(action="undo"))
    assert "taught with another bundle than" in said
