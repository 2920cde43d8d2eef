"""An archive over the interpreters of a cluster: blocks of files to actors, their summaries back, on Ray Data.

Without an address a cluster of this machine is started, and ended with the command. What is done is in the output, not
in the cluster: whatever dies, a run that is resumed goes on with the blocks that have no summary.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from inspector.archive.files import ArchivedFile, Place, to_json
from inspector.archive.order import EXTRA, Order, Prints, open_order
from inspector.archive.worker import DONE, BlockInspector, name_of_block
from inspector.clock import SystemClock
from inspector.errors import ConfigError, InspectorError, SourceError, StoreError, WorkerError

LEAST_BLOCK, MOST_BLOCK, BLOCKS = 8, 128, 64
"""Files of a block, which is what an actor inspects again at most after a death: about 64 blocks, in these bounds."""
RUN, LISTED = "_run.json", "_files.jsonl"
ACTOR_CPUS = 0.5
"""Of each actor, which has one interpreter: those of all cores leave half of them to Ray's own tasks. Actors that take
all cores keep what feeds them from ever starting (tried: nothing moves)."""
STRIP_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".raw", ".pgm", ".y4m")


@dataclass(frozen=True, slots=True)
class Done:
    """What a run has given.

    Attributes:
        files: Files in all.
        frames: Rows of frames.
        refused: Frames that could not be inspected: each is a row with its reason.
        defects: Rows of defects.
        tiles: Rows of tiles.
        blocks: Blocks in all.
        found_done: Blocks that a previous run had finished.
        seconds: Time for the others.
    """

    files: int
    frames: int
    refused: int
    defects: int
    tiles: int
    blocks: int
    found_done: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def inspect_archive(
    paths: Sequence[str], order: Order, address: str | None, resume: bool, say: Callable[[str], None]
) -> Done:
    """Inspect all pictures in and below the paths, and write the tables.

    Args:
        paths: Files, folders, or addresses of an object store.
        order: What is asked for.
        address: Of a cluster; None: one of this machine.
        resume: Go on with a run that was cut off.
        say: Told how far it is.

    Raises:
        ConfigError: An extra is missing; the output holds another run, or none that can be resumed.
        SourceError: Nothing is there to inspect.
        WorkerError: A machine has other files, or a block could not be written.
        RefusedError: Configuration or bundle is refused.
    """
    ray = import_ray()
    opened = open_order(order)
    prints = opened.prints
    opened.model.pool.close()
    output = Place(order.output)
    files = _listed(output, paths, order, prints, resume)
    size = min(MOST_BLOCK, max(LEAST_BLOCK, len(files) // BLOCKS))
    blocks = [files[start : start + size] for start in range(0, len(files), size)]
    finished = set(output.names(DONE))
    waiting = [number for number in range(len(blocks)) if f"{name_of_block(number)}.json" not in finished]
    clock = SystemClock()
    begun_s = clock.monotonic()
    if waiting:
        say(f"{len(files)} files in {len(blocks)} blocks, {len(blocks) - len(waiting)} of them done")
        with _cluster(ray, address):
            _require_same(ray, order, prints)
            _spread(ray, order, prints, blocks, waiting, say)
    spent_s = clock.monotonic() - begun_s
    sums = _summed(output, len(blocks))
    return Done(len(files), sums["frames"], sums["refused"], sums["defects"], sums["tiles"], len(blocks),
                len(blocks) - len(waiting), round(spent_s, 1))  # fmt: skip


def import_ray() -> Any:
    """Return Ray.

    Raises:
        ConfigError: The extra is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as exc:
        raise ConfigError(f"this needs the extra 'ray', which is not installed: {EXTRA}") from exc
    return ray


def _listed(output: Place, paths: Sequence[str], order: Order, prints: Prints, resume: bool) -> list[ArchivedFile]:
    """Return the files of the run: those that were listed when it began, or those that are there now.

    Raises:
        ConfigError: The output holds a run and `resume` is not asked for, or another run.
        SourceError: Nothing is there to inspect.
    """
    wanted = {"paths": list(paths), "order": order.as_dict(), "prints": asdict(prints)}
    if output.holds(RUN):
        if not resume:
            raise ConfigError(f"--output: {order.output} holds a run already; --resume goes on with it")
        began = json.loads(output.read(RUN))
        if differs := [key for key in wanted if began.get(key) != wanted[key]]:
            said = "; ".join(f"{key}: {json.dumps(began.get(key))}" for key in differs)
            raise ConfigError(f"--resume: the run in {order.output} was another one ({said})")
        return [ArchivedFile(**json.loads(line)) for line in output.read(LISTED).splitlines()]
    if resume:
        raise ConfigError(f"--resume: no run in {order.output}")
    files: list[ArchivedFile] = []
    for path in paths:
        files += _strip_or_pictures(path)
    if not files:
        raise SourceError(f"nothing to inspect: no picture in {', '.join(paths)}")
    try:
        output.write(LISTED, b"".join(json.dumps(asdict(file)).encode() + b"\n" for file in files))
        output.write(RUN, to_json(wanted))
    except OSError as exc:
        raise StoreError(f"--output: {order.output} cannot be written: {exc.strerror or exc}") from exc
    return files


def _strip_or_pictures(path: str) -> list[ArchivedFile]:
    place = Place(path)
    return list(place.strips() if path.lower().endswith(STRIP_SUFFIXES) else place.pictures())


@contextmanager
def _cluster(ray: Any, address: str | None) -> Iterator[None]:
    """Give a cluster: the one at the address, or one of this machine that ends with the block.

    Raises:
        ConfigError: None is at the address.
    """
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        options["include_dashboard"] = False
    try:
        ray.init(address="local" if address is None else address, **options)
    except (ConnectionError, ValueError, RuntimeError, OSError) as exc:
        raise ConfigError(f"--address: no Ray cluster at {address}: {exc}") from exc
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    try:
        yield
    finally:
        ray.shutdown()


def _require_same(ray: Any, order: Order, prints: Prints) -> None:
    """Refuse machines whose program, bundle, reference or configuration differ.

    Raises:
        WorkerError: One does; the text names it.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    check = ray.remote(num_cpus=0, max_retries=1)(what_is_here)
    on = {node["NodeID"]: NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes}
    asked = [(node, check.options(scheduling_strategy=on[node["NodeID"]]).remote(order)) for node in nodes]
    troubles = []
    for node, answer in asked:
        name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        try:
            found = ray.get(answer)
        except ray.exceptions.RayError as exc:
            troubles.append(f"{name}: {str(exc).strip().splitlines()[-1]}")
            continue
        if isinstance(found, str):
            troubles.append(f"{name}: {found}")
        elif differs := prints.differences(found):
            troubles.append(f"{name} has {'; '.join(differs)}")
    if troubles:
        raise WorkerError(f"not all machines would say the same: {' | '.join(troubles)}")


def what_is_here(order: Order) -> Prints | str:
    """Return what this machine has for an order, or why it has not."""
    try:
        opened = open_order(order)
    except InspectorError as exc:
        return str(exc)
    opened.model.pool.close()
    return opened.prints


class BlockActor:
    """A `BlockInspector` as Ray Data calls it. What cannot be written ends the run, and is said by name."""

    def __init__(self, order: Order, prints: Prints) -> None:
        self._inspect = BlockInspector(order, prints)

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Inspect the block of a row; returns its summary."""
        number, files = int(row["block"]), [ArchivedFile(**one) for one in json.loads(row["files"])]
        try:
            return {"block": number, "summary": json.dumps(self._inspect(number, files)), "error": ""}
        except OSError as exc:
            return {"block": number, "summary": "", "error": f"{exc.filename or ''}: {exc.strerror or exc}"}


def _spread(
    ray: Any, order: Order, prints: Prints, blocks: Sequence[Sequence[ArchivedFile]], waiting: Sequence[int],
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """Have the waiting blocks inspected.

    Raises:
        WorkerError: A block could not be written, or the cluster has failed.
    """
    rows = [{"block": number, "files": json.dumps([asdict(file) for file in blocks[number]])} for number in waiting]
    actors = max(1, min(len(rows), math.floor(ray.cluster_resources().get("CPU", 1))))
    results = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        BlockActor,
        fn_constructor_args=(order, prints),
        num_cpus=ACTOR_CPUS,
        compute=ray.data.ActorPoolStrategy(size=actors),
    )
    clock = SystemClock()
    begun_s, frames, refused = clock.monotonic(), 0, 0
    try:
        for count, row in enumerate(results.iter_rows(), 1):
            if row["error"]:
                raise WorkerError(f"--output: {order.output}: block {row['block']} cannot be written: {row['error']}")
            summary = json.loads(row["summary"])
            frames, refused = frames + summary["frames"], refused + summary["refused"]
            rate = frames / max(0.1, clock.monotonic() - begun_s)
            say(f"{count} of {len(rows)} blocks, {frames} frames, {refused} refused, {rate:.1f} frames/s")
    except ray.exceptions.RayError as exc:
        raise WorkerError(f"the cluster has failed: {str(exc).strip().splitlines()[-1]}") from exc


def _summed(output: Place, blocks: int) -> dict[str, int]:
    """Return the sums over the summaries of all blocks.

    Raises:
        WorkerError: One is missing.
    """
    sums = {"frames": 0, "refused": 0, "defects": 0, "tiles": 0}
    for number in range(blocks):
        name = f"{DONE}/{name_of_block(number)}.json"
        try:
            summary = json.loads(output.read(name))
        except (OSError, ValueError) as exc:
            raise WorkerError(f"block {number} has no summary in {output.address}: {exc}") from exc
        for key in sums:
            sums[key] += summary[key]
    return sums
