"""Configurations that no station may run with, drawn by lot: syntax, types, ranges, sizes, and what only a start finds.

Each names the key that a refusal has to name. Nothing here asks the product: what is wrong is put there on purpose.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NUMBERS = ("mqtt.port", "events.alarm_hits", "http.port", "store.evidence_px", "model.workers", "mqtt.keepalive_s")
FLOATS = ("source.settle_s", "decision.record_floor", "events.alarm_limit_s", "store.evidence_max_age_days")
TEXTS = ("mqtt.host", "mqtt.root", "model.path", "store.path", "jsonl.path", "mqtt.ca_file", "source.finished_dir")
TRUTHS = ("mqtt.enabled", "http.enabled", "decision.unknown", "source.recursive", "jsonl.enabled")
WORDS = ("decision.mode", "store.evidence", "events.alarm_min_severity", "mqtt.protocol", "source.finished")


@dataclass(frozen=True)
class Place:
    """What a bad configuration may point at.

    Attributes:
        folder: A folder of this try alone.
        taken_port: A port on which somebody else listens.
        taken_store: A store that another process has.
        watched: The folder that the station watches.
    """

    folder: Path
    taken_port: int
    taken_store: Path
    watched: Path


@dataclass(frozen=True)
class Bad:
    """A configuration that is wrong in one place.

    Attributes:
        kind: In which way.
        content: The whole file; None: there is none, but a folder.
        names: What the refusal has to name besides the file; empty: only the file.
    """

    kind: str
    content: bytes | None
    names: str = ""


def _set(text: str, dotted: str, value: str) -> bytes:
    """Return the file with a key set to a TOML value; a section that is there is continued, a key replaced."""
    section, _, key = dotted.partition(".")
    lines = text.splitlines()
    if f"[{section}]" not in lines:
        lines += [f"[{section}]"]
    begin = lines.index(f"[{section}]") + 1
    end = next((at for at in range(begin, len(lines)) if lines[at].startswith("[")), len(lines))
    kept = [line for line in lines[begin:end] if line.partition("=")[0].strip() != key]
    return "\n".join([*lines[:begin], f"{key} = {value}", *kept, *lines[end:], ""]).encode()


def _wrong_type(text: str, lots: random.Random, _: Place) -> Bad:
    keys, values = lots.choice(
        (
            (NUMBERS, ('"many"', "1.5", "[1]", "{a = 1}", "2026-03-01", '""')),
            (FLOATS, ('"soon"', "[]", "{}", "07:32:00", "nan", "inf", "-inf")),
            (TEXTS, ("1", "1.5", "[1]", "{a = 'b'}", "2026-03-01T00:00:00Z", "[[]]")),
            (TRUTHS, ('"perhaps"', "7", "[true]", "{}", "2026-03-01")),
            (WORDS, ('"loud"', "1.5", "[]", "{}", "false")),
        )
    )
    key = lots.choice(keys)
    return Bad("wrong type", _set(text, key, lots.choice(values)), key)


def _out_of_range(text: str, lots: random.Random, _: Place) -> Bad:
    key, value = lots.choice(
        (("mqtt.port", "0"), ("mqtt.port", "65536"), ("mqtt.keepalive_s", "1"), ("decision.record_floor", "1.01"),
         ("decision.record_floor", "-0.1"), ("store.outbox_limit_bytes", "1"), ("events.alarm_window", "0"),
         ("source.settle_s", "-1"), ("source.mm_per_px", "0"), ("model.workers", "65"), ("http.port", "-1"),
         ("tiling.overlap_px", "-1"), ("events.alarm_limit_s", "0"), ("mqtt.window", "101"))
    )  # fmt: skip
    return Bad("out of range", _set(text, key, value), key)


def _unknown(text: str, lots: random.Random, _: Place) -> Bad:
    word = "".join(lots.choices("abcdefghijklmnop", k=lots.randint(1, 12))) + "q"
    section = lots.choice(("mqtt", "source", "station", "store", "http", "model", "events", "decision"))
    if lots.random() < 0.3:
        return Bad("unknown section", f"{text}\n[{word}]\nx = 1\n".encode(), word)
    return Bad("unknown key", _set(text, f"{section}.{word}", "1"), f"{section}.{word}")


def _nested(text: str, lots: random.Random, _: Place) -> Bad:
    depth = lots.choice((17, 40, 500, 5_000, 100_000))
    kind = lots.randrange(3)
    if kind == 0:
        return Bad("nested arrays", _set(text, "tiling.roi_xy", "[" * depth + "]" * depth))
    if kind == 1:
        return Bad("nested tables", f"{text}\n[{'.'.join('a' * min(depth, 100_000))}]\n".encode())
    return Bad("inline tables", _set(text, "decision.thresholds", "{a=" * depth + "1" + "}" * depth))


def _huge(text: str, lots: random.Random, _: Place) -> Bad:
    kind = lots.randrange(5)
    if kind == 0:
        return Bad("digits", _set(text, "mqtt.port", lots.choice("19") * lots.choice((17, 400, 5_000, 100_000))))
    if kind == 1:
        return Bad("long text", _set(text, key := lots.choice(TEXTS), f'"{"a" * lots.choice((5_000, 500_000))}"'), key)
    if kind == 2:
        return Bad("large file", text.encode() + b"#" * (1 << 20))
    if kind == 3:
        return Bad("exponent", _set(text, key := lots.choice(FLOATS), lots.choice(("1e300", "-1e300", "1e400"))), key)
    return Bad("many keys", (text + "\n[zz]\n" + "".join(f"k{n} = 1\n" for n in range(50_000))).encode(), "zz")


def _characters(text: str, lots: random.Random, _: Place) -> Bad:
    kind = lots.randrange(5)
    if kind == 0:
        escape = lots.choice(("\\u0000", "\\u0007", "\\n", "\\t", "\\u001b", "\\u007f"))
        return Bad("control character", _set(text, key := lots.choice(TEXTS), f'"/tmp/a{escape}b"'), key)
    if kind == 1:
        return Bad("no UTF-8", text.encode() + b"# " + bytes(lots.choices(range(0x80, 0xC0), k=3)) + b"\n")
    if kind == 2:
        return Bad("UTF-16", text.encode("utf-16"))
    if kind == 3:
        return Bad("zeros", bytes(lots.choice((1, 4096))))
    return Bad("lone surrogate", _set(text, "mqtt.root", '"\\ud800"'))


def _syntax(text: str, lots: random.Random, _: Place) -> Bad:
    kind = lots.randrange(5)
    if kind == 0:  # inside a text
        quotes = [at for at, one in enumerate(text) if one == '"'][::2]
        return Bad("cut off", text[: lots.choice(quotes) + 2].encode())
    if kind == 1:
        return Bad("key twice", _set(text, "mqtt.window", "5\nwindow = 6"))
    if kind == 2:
        return Bad("section twice", f"{text}\n[station]\n".encode())
    if kind == 3:
        return Bad("no value", _set(text, lots.choice(TEXTS), lots.choice(("", "localhost", "“x”", '"x', "True", "="))))
    return Bad("array of tables", text.replace("[store]", "[[store]]").encode(), "store")


def _together(text: str, lots: random.Random, _: Place) -> Bad:
    section, lines = lots.choice(
        (("events", "alarm_hits = 5\nalarm_window = 3"), ("decision", "thresholds = {nothing = 0.5}"),
         ("decision", "severity = {nothing = 'minor'}"), ("tiling", "roi_xy = [[0, 0], [1, 1]]"),
         ("tiling", "overlap_px = 4000"))
    )  # fmt: skip
    head = f"[{section}]\n"
    if head not in text:
        return Bad("do not go together", f"{text}\n{head}{lines}\n".encode(), section)
    return Bad("do not go together", text.replace(head, f"{head}{lines}\n").encode(), section)


def _peers(text: str, lots: random.Random, _: Place) -> Bad:
    key, value = lots.choice(
        (("mqtt.host", '"broker.example"'), ("mqtt.password_file", '"/nowhere"'), ("mqtt.cert_file", '"/nowhere"'),
         ("mqtt.ca_file", '"/nowhere"'), ("mqtt.root", '"a/#"'), ("mqtt.commands", '["reboot"]'),
         ("http.address", '"0.0.0.0"'), ("http.cert_file", '"/nowhere"'), ("http.token_file", '"/nowhere"'))
    )  # fmt: skip
    return Bad("peers", _set(text, key, value), key.partition(".")[0])


def _found_by_a_start(text: str, lots: random.Random, place: Place) -> Bad:
    kind = lots.randrange(7)
    if kind == 0:
        (file := place.folder / "file").write_text("x")
        return Bad("store is a file", _set(text, "store.path", f'"{file}"'), "store.path")
    if kind == 1:
        return Bad("store in use", _set(text, "store.path", f'"{place.taken_store}"'), "store.path")
    if kind == 2:
        moved = _set(text, "source.finished", '"move"').decode()
        return Bad("finished_dir", _set(moved, "source.finished_dir", f'"{place.watched}"'), "source.finished_dir")
    if kind == 3:
        return Bad("port taken", _set(text, "http.port", str(place.taken_port)), "http.port")
    if kind == 4:
        return Bad("no bundle", _set(text, "model.path", f'"{place.folder / "nothing"}"'), "model.path")
    if kind == 5:
        (bundle := place.folder / "bundle").mkdir()
        (bundle / "card.json").write_text(lots.choice(("{}", "[]", "{", "[" * 200_000, '{"name": 1}')))
        return Bad("bad card", _set(text, "model.path", f'"{bundle}"'), "card.json")
    (link := place.folder / "loop").symlink_to(link)
    return Bad("store is a loop", _set(text, "store.path", f'"{link / "x"}"'), "store.path")


def _no_file(_: str, __: random.Random, ___: Place) -> Bad:
    return Bad("a folder", None)


MAKERS: tuple[Callable[[str, random.Random, Place], Bad], ...] = (
    _wrong_type, _found_by_a_start, _unknown, _nested, _huge, _characters, _syntax, _out_of_range, _together, _peers,
    _wrong_type, _found_by_a_start, _no_file,
)  # fmt: skip


def draw_bad(number: int, text: str, lots: random.Random, place: Place) -> Bad:
    """Return the bad configuration of a point: each kind in turn, its details by lot.

    Args:
        number: Of the point.
        text: The good configuration.
        lots: Of this point.
        place: What it may point at.
    """
    return MAKERS[number % len(MAKERS)](text, lots, place)
