"""`inspector.sources.queues`: the newest frame wins, or the source waits; no gap is ever lost, and nothing grows."""

from __future__ import annotations

import threading
from itertools import cycle

import numpy as np
import pytest
from fakes import make_frame, make_gap
from hypothesis import given
from hypothesis import strategies as st

from inspector.frame import Cause, Frame, Gap
from inspector.sources.queues import MAX_GAPS, FrameQueue, Mailbox


def taken(items: Mailbox | FrameQueue) -> list[Frame | Gap]:
    out = []
    while (item := items.get(0.0)) is not None:
        out.append(item)
    return out


def shown(items: list[Frame | Gap]) -> list[str]:
    """Frames by number, gaps by cause and frames."""
    return [str(i.frame_id) if isinstance(i, Frame) else f"{i.cause.value} {i.frames}" for i in items]


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        pytest.param([], [], id="empty"),
        pytest.param([make_frame(0)], ["0"], id="one frame"),
        pytest.param([make_frame(0), make_frame(1)], ["dropped 1", "1"], id="the newest wins"),
        pytest.param([make_frame(n) for n in range(5)], ["dropped 4", "4"], id="drops in a row are one gap"),
        pytest.param(
            [make_gap(Cause.SOURCE_DOWN), make_frame(0)], ["source_down 0", "0"], id="a gap before the frame"
        ),
        pytest.param(
            [make_frame(0), make_gap(Cause.SOURCE_DOWN)], ["0", "source_down 0"], id="a gap after the frame stays after"
        ),
        pytest.param(
            [make_frame(0), make_gap(Cause.SOURCE_DOWN), make_frame(1)], ["dropped 1", "source_down 0", "1"],
            id="a dropped frame leaves its gap where it was",
        ),
        pytest.param(
            [make_frame(0), make_frame(1, epoch=2), make_frame(2, epoch=2)], ["dropped 1", "dropped 1", "2"],
            id="drops of two epochs stay apart",
        ),
        pytest.param(
            [make_gap(Cause.UNREADABLE, frames=1), make_gap(Cause.UNREADABLE, frames=1)],
            ["unreadable 1", "unreadable 1"], id="other gaps stay as they are while there is room",
        ),
    ],
)  # fmt: skip
def test_mailbox(items: list[Frame | Gap], expected: list[str]) -> None:
    """A mailbox gives what happened in order of time, with the newest frame only."""
    mailbox = Mailbox()
    for item in items:
        mailbox.put(item)

    assert expected == shown(taken(mailbox))


steps = st.one_of(
    st.just("frame"), st.just("take"), st.sampled_from([Cause.UNREADABLE, Cause.SOURCE_DOWN, Cause.PARTIAL])
)


@given(st.lists(steps, max_size=60))
def test_every_frame_is_seen_or_counted(script: list[str | Cause]) -> None:
    """Frames that come out and frames that gaps count make up all that went in, drops as `put` reports them."""
    mailbox, out = Mailbox(), list[Frame | Gap]()
    frames = gaps = dropped = 0
    for step in script:
        if step == "frame":
            dropped += mailbox.put(make_frame(frames))
            frames += 1
        elif step == "take":
            if (item := mailbox.get(0.0)) is not None:
                out.append(item)
        else:
            mailbox.put(make_gap(Cause(step), frames=1))
            gaps += 1
    out += taken(mailbox)
    inspected = [item.frame_id for item in out if isinstance(item, Frame)]

    assert dropped == sum(i.frames for i in out if isinstance(i, Gap) and i.cause is Cause.DROPPED)
    assert frames == len(inspected) + dropped
    assert gaps == sum(item.frames for item in out if isinstance(item, Gap)) - dropped
    assert sorted(inspected) == inspected


@pytest.mark.parametrize(
    "causes",
    [
        pytest.param([Cause.UNREADABLE], id="one cause"),
        pytest.param([Cause.UNREADABLE, Cause.PARTIAL], id="two causes by turns"),
        pytest.param(list(Cause), id="all causes by turns"),
    ],
)
@pytest.mark.parametrize("identity", [None, "still"])
def test_mailbox_never_grows(causes: list[Cause], identity: str | None) -> None:
    """With a stuck reader a mailbox holds a bounded number of items, whatever comes, and counts all."""
    mailbox = Mailbox()
    sent = 5 * MAX_GAPS
    for number, cause in zip(range(sent), cycle(causes), strict=False):
        mailbox.put(make_frame(number))
        mailbox.put(make_gap(cause, frames=0 if identity else 1, identity=identity, frame_id=7 if identity else None))

    assert len(mailbox) <= MAX_GAPS + len(Cause) + 1
    items = taken(mailbox)
    counted = sum(i.frames or (i.frame_id is not None) for i in items if isinstance(i, Gap))
    assert 2 * sent == counted + sum(isinstance(item, Frame) for item in items)


@pytest.mark.parametrize("make", [Mailbox, lambda: FrameQueue(4)], ids=["mailbox", "queue"])
def test_get_waits_for_an_item(make: type[Mailbox]) -> None:
    """A waiting reader gets the item as soon as it is there, and nothing when the time is over."""
    items = make()
    reader = threading.Thread(target=lambda: got.append(items.get(30.0)))
    got: list[Frame | Gap | None] = []
    reader.start()
    frame = make_frame(0)
    items.put(frame)
    reader.join()

    assert [frame] == got
    assert items.get(0.0) is None


@pytest.mark.parametrize("make", [Mailbox, lambda: FrameQueue(4)], ids=["mailbox", "queue"])
def test_close_lets_the_reader_go(make: type[Mailbox]) -> None:
    """Closing ends a waiting `get`; what is inside can still be taken."""
    items = make()
    got: list[Frame | Gap | None] = []
    reader = threading.Thread(target=lambda: got.append(items.get(30.0)))
    reader.start()
    items.close()
    reader.join()
    full = make()
    full.put(make_frame(3))
    full.close()

    assert got == [None]
    assert shown(taken(full)) == ["3"]


def test_queue_keeps_order_and_all() -> None:
    """A queue gives everything back in order, frames and gaps alike."""
    items = FrameQueue(10)
    for item in (make_frame(0), make_gap(Cause.UNREADABLE), make_frame(1)):
        items.put(item)

    assert shown(taken(items)) == ["0", "unreadable 0", "1"]


def test_queue_makes_the_source_wait() -> None:
    """A full queue holds the writer until there is room: of 50 frames through 3 places none is lost or overtaken."""
    items, numbers, most = FrameQueue(3), list[int](), 0

    def write() -> None:
        for number in range(50):
            items.put(make_frame(number))
        items.close()

    writer = threading.Thread(target=write)
    writer.start()
    while (item := items.get(30.0)) is not None:
        most = max(most, len(items))
        assert isinstance(item, Frame)
        numbers.append(item.frame_id)
    writer.join()

    assert list(range(50)) == numbers
    assert most <= 3


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        pytest.param("1.jpg", ["0", "source_down 0"], id="a file is read again"),
        pytest.param(None, ["0", "1", "2", "source_down 0"], id="a frame of a stream exists only once"),
    ],
)
def test_closing_frees_a_waiting_writer(file: str | None, expected: list[str]) -> None:
    """A writer that waits for room is let go by the end; what is in no file is taken all the same, and a gap always."""
    items = FrameQueue(1)
    items.put(make_frame(0))
    writer = threading.Thread(target=items.put, args=(make_frame(1, source_key=file),))
    writer.start()
    items.close()
    writer.join()
    items.put(make_frame(2, source_key=file))
    items.put(make_gap(Cause.SOURCE_DOWN))

    assert shown(taken(items)) == expected


def test_a_queue_without_room_is_refused() -> None:
    """A capacity under one would wait forever."""
    with pytest.raises(ValueError, match="at least 1: 0"):
        FrameQueue(0)


def test_large_frames_follow_each_other() -> None:
    """With more uncommitted pixels than allowed, the source waits until they are committed, and then goes on."""
    queue = FrameQueue(8, most_bytes=10_000)
    handed = threading.Event()

    def hand_over() -> None:
        queue.put(make_frame(0, np.zeros((100, 90), np.uint8)))
        queue.put(make_frame(1, np.zeros((100, 90), np.uint8)))
        handed.set()

    thread = threading.Thread(target=hand_over, daemon=True)
    thread.start()
    first, second = queue.get(10), queue.get(10)
    assert first is not None
    assert second is not None
    assert not handed.wait(0.05)
    queue.release(first)
    assert handed.wait(10)
    queue.release(second)
    thread.join(10)


def test_one_frame_larger_than_the_bound_passes() -> None:
    """A single frame over the bound is handed over; a closed queue lets its writer go."""
    queue = FrameQueue(8, most_bytes=100)
    thread = threading.Thread(target=queue.put, args=(make_frame(0, np.zeros((100, 90), np.uint8)),), daemon=True)
    thread.start()

    assert queue.get(10) is not None
    queue.close()
    thread.join(10)
    assert not thread.is_alive()
