"""`inspector.teach.reservoir`, `tile_file`, `collecting`: which tiles a teach-in keeps, and that a kill costs none."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from fakes import make_frame

from inspector.box import Box
from inspector.frame import Frame
from inspector.teach.collecting import Collector
from inspector.teach.reservoir import MAX_COILS, PER_FRAME, Kept, Reservoir
from inspector.teach.tile_file import KeptTile, TileFile

ACROSS = (0.1, 0.5, 0.9)


def offered(capacity: int, coils: dict[str, int], seed: int = 1) -> Reservoir:
    """A reservoir that was offered so many tiles of each coil, one coil after the other, at three places."""
    reservoir = Reservoir(capacity, seed)
    for name, count in coils.items():
        for number in range(count):
            reservoir.offer(name, ACROSS[number % 3])
    return reservoir


@pytest.mark.parametrize(
    ("coils", "shares"),
    [
        pytest.param({"a": 50}, {"a": 50}, id="what fits is kept"),
        pytest.param({"a": 5000}, {"a": 120}, id="one coil has all the room"),
        pytest.param({"a": 5000, "b": 60, "c": 60}, {"a": 40, "b": 40, "c": 40}, id="later coils get their share"),
        pytest.param({"a": 5000, "b": 10, "c": 400}, {"a": 55, "b": 10, "c": 55}, id="a short coil keeps all it has"),
    ],
)
def test_coils_share_the_room(coils: dict[str, int], shares: dict[str, int]) -> None:
    """However long a coil runs, the others have as many tiles, if they have shown as many."""
    assert offered(120, coils).coils == shares


def test_places_across_and_time_share_a_coil() -> None:
    """A coil's tiles are from every place, and from its head as from its tail."""
    reservoir, at = Reservoir(300, 7), {}
    for number in range(9000):
        if (kept := reservoir.offer("a", ACROSS[number % 3])) is not None:
            at[kept.slot] = number
    places = Counter(kept.place for kept in reservoir.kept)
    quarters = Counter(at[kept.slot] // 2250 for kept in reservoir.kept)

    assert sorted(places.values()) == [100, 100, 100]
    assert min(quarters.values()) > 50


def test_it_is_bounded_and_every_slot_holds_one_tile() -> None:
    """Of too many coils a sample is kept, the room is never exceeded, and no two tiles share a slot."""
    reservoir = offered(600, {f"c{number}": 40 for number in range(3 * MAX_COILS)})
    slots = [kept.slot for kept in reservoir.kept]

    assert len(reservoir.coils) == MAX_COILS
    assert len(slots) == len(set(slots)) == len(reservoir) <= 600
    assert max(slots) < 600


def test_the_same_frames_give_the_same_sample() -> None:
    """What is kept follows from the seed; another one keeps others."""
    samples = [offered(100, {"a": 900, "b": 900}, seed).kept for seed in (1, 1, 2)]

    assert samples[0] == samples[1] != samples[2]


def test_few_tiles_of_a_frame_are_offered() -> None:
    """Tiles of one frame are alike: a frame of hundreds gives a handful, one of few gives all."""
    reservoir = Reservoir(10)

    assert len(set(reservoir.choose(500))) == PER_FRAME
    assert reservoir.choose(3) == [0, 1, 2]


def tile_of(number: int, side: int = 8) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 255, (side, side)).astype(np.uint8)


def written(path: Path, count: int = 4) -> list[KeptTile]:
    """A file with so many tiles, closed."""
    tiles = [KeptTile(Kept(slot, f"coil:{'ü' * slot}", slot % 8, slot / 10), 7 * slot) for slot in range(count)]
    file = TileFile(path, (8, 8), 6)
    for tile in tiles:
        file.write(tile, tile_of(tile.kept.slot))
    file.close()
    return tiles


def test_tiles_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Coil, place, number and pixels come back; empty places are none."""
    tiles = written(tmp_path / "tiles")
    found = list(TileFile(tmp_path / "tiles", (8, 8), 6).read())

    assert [tile for tile, _ in found] == tiles
    assert all((pixels == tile_of(tile.kept.slot)).all() for tile, pixels in found)


@pytest.mark.parametrize("at", [0, 5, 20, 40, 300, 351])
def test_a_tile_that_was_cut_off_is_passed_over(tmp_path: Path, at: int) -> None:
    """One flipped bit, anywhere in a place, costs that tile and no other."""
    tiles, path = written(tmp_path / "tiles"), tmp_path / "tiles"
    place_bytes = path.stat().st_size // 6
    raw = bytearray(path.read_bytes())
    raw[place_bytes + min(at, place_bytes - 1)] ^= 1
    path.write_bytes(raw)

    assert [tile for tile, _ in TileFile(path, (8, 8), 6).read()] == [tiles[0], *tiles[2:]]


def frame_of(number: int, **changes: object) -> Frame:
    pixels = np.random.default_rng(number).integers(60, 190, (8, 24)).astype(np.uint8)
    return make_frame(number, pixels, **changes)


BOXES = (Box(0, 0, 8, 8), Box(8, 0, 8, 8), Box(16, 0, 8, 8))


def test_a_killed_station_continues_with_what_it_had(tmp_path: Path) -> None:
    """Another collector takes over the tiles of a file that nobody closed, and counts on."""
    first = Collector(tmp_path / "tiles", 100, 1)
    for number in range(10):
        first.take(frame_of(number), BOXES, "coil:A")
    second = Collector(tmp_path / "tiles", 100, 1, first.tile_hw, first.counts)
    second.take(frame_of(10), BOXES, "coil:B")

    assert (second.tiles, second.coils, second.counts.frames) == (33, {"coil:A": 30, "coil:B": 3}, 11)


def test_what_shows_nothing_new_is_passed_over(tmp_path: Path) -> None:
    """A picture that comes again adds no tile, nor does one of another size than the first."""
    collector = Collector(tmp_path / "tiles", 100, 1)
    for boxes in (BOXES, BOXES, (Box(0, 0, 8, 7),)):
        collector.take(frame_of(1), boxes, "coil:A")

    assert (collector.tiles, collector.counts.repeated, collector.counts.odd) == (3, 3, 1)


def test_colours_are_kept_as_the_network_sees_them(tmp_path: Path) -> None:
    """A tile of a colour frame is the grey that is inspected."""
    collector = Collector(tmp_path / "tiles", 10, 1)
    collector.take(make_frame(0, np.full((8, 8, 3), (10, 100, 200), np.uint8)), (Box(0, 0, 8, 8),), "coil:A")
    collector.close()
    [(_, pixels)] = TileFile(tmp_path / "tiles", (8, 8), 10).read()

    assert pixels.shape == (8, 8)
    assert len(np.unique(pixels)) == 1
