"""`inspector.station.inbox`: what comes from no source takes its place among the frames."""

from __future__ import annotations

import threading

from fakes import NOON, FakeClock

from inspector.items import CoilChange
from inspector.station.inbox import Inbox


def change(name: str) -> CoilChange:
    return CoilChange(NOON, name)


def test_what_was_put_in_later_waits(clock: FakeClock) -> None:
    """Up to a moment, everything comes out once, in the order in which it was put in."""
    inbox = Inbox(clock)
    inbox.put(change("A"))
    clock.advance(1)
    inbox.put(change("B"), change("C"))
    clock.advance(1)
    inbox.put(change("D"))

    assert inbox.take(clock.mono_s - 2.5) == []
    assert inbox.take(clock.mono_s - 1) == [change("A"), change("B"), change("C")]
    assert (inbox.take(clock.mono_s), inbox.take(clock.mono_s), len(inbox)) == ([change("D")], [], 0)


def test_many_threads_lose_nothing(clock: FakeClock) -> None:
    """Several threads put in at once: everything comes out, each thread's in its order."""
    inbox = Inbox(clock)

    def fill(name: str) -> None:
        for number in range(200):
            inbox.put(change(f"{name}{number}"))

    threads = [threading.Thread(target=fill, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = [str(word.coil_id) for word in inbox.take(clock.mono_s) if isinstance(word, CoilChange)]

    assert {name: [f"{name}{n}" for n in range(200)] for name in "abcd"} == {
        name: [other for other in names if other.startswith(name)] for name in "abcd"
    }
