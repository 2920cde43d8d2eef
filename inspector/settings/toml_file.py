"""The text of a TOML file, or the line and column at which it is none, with a caret and what usually helps."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from inspector.settings.bounds import MAX_DEPTH, MAX_FILE_BYTES, find_fault

SHOWN_CHARACTERS = 100
"""Of a long line only this much around the mistake is shown."""
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_SECRET = re.compile(r"(?i)(pass|secret|token|credential|key)[\w.-]*[\"']?\s*=\s*(.*)")
_USER_INFO = re.compile(r"://([^/\s]*)@")
_HELP = (
    (re.compile(r"[\u201c\u201d\u2018\u2019]"), "texts stand in straight quotes: \" or '"),
    (re.compile(r'"[^"]*\\'), "a backslash in double quotes begins an escape: use single quotes, as in 'a\\b'"),
    (re.compile(r"=\s*(True|TRUE|False|FALSE|yes|Yes|no|No|on|off)\s*(#|$)"), "a truth is written true or false"),
    (re.compile(r"=\s*(None|null|nil)?\s*(#|$)"), "a key without a value is left out"),
    (re.compile(r"=\s*[A-Za-z/][^\"']*$"), "a text stands in quotes"),
    (re.compile(r"=\s*\d+,\d+\s*(#|$)"), "a decimal has a point, no comma"),
    (re.compile(r"^\s*[\w-]+\s*:"), "a key and its value are joined by ="),
)
"""What a line with a mistake looks like, and the remedy."""

_TWICE = {
    "Cannot overwrite a value": "this key was given before: leave one of them out",
    "Cannot declare": "this section began before: join the two",
}


def parse_toml(raw: bytes) -> dict[str, Any]:
    """Return the tables of a TOML file.

    Raises:
        ValueError: It is none, or goes beyond the bounds that hold for all; the text has line, column and caret.
    """
    if len(raw) > MAX_FILE_BYTES:
        raise ValueError(f"more than {MAX_FILE_BYTES} bytes")
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ValueError("the text is UTF-16: save it as UTF-8")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        raise ValueError(f"line {line}: the byte {raw[exc.start]:#04x} is no UTF-8: save the file as UTF-8") from exc
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ValueError(explain_syntax(text, str(exc))) from exc
    except RecursionError as exc:
        raise ValueError(f"tables and arrays are nested more than {MAX_DEPTH} deep") from exc
    if fault := find_fault(list(values)):
        raise ValueError(fault)
    return values


def explain_syntax(text: str, error: str) -> str:
    """Return what is wrong, the line, a caret below its column, and the remedy of a common mistake."""
    reason, lines = _PLACE.sub("", error), text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    open_quote = reason.startswith(
        ("Expected '\"'", "Expected \"'", "Illegal character '\\n'", "Illegal character '\\r'")
    )
    found = _PLACE.search(error)
    if found is not None and found[1] is not None:
        number, column = int(found[1]), int(found[2])
    else:
        odd = (place for place, line in enumerate(lines, 1) if open_quote and line.count(reason[10:11]) % 2)
        number = next(odd, len(lines))
        column = len(lines[number - 1]) + 1
    line = lines[number - 1] if number <= len(lines) else ""
    remedies = [remedy for start, remedy in _TWICE.items() if reason.startswith(start)]
    remedies += [remedy for pattern, remedy in _HELP if pattern.search(line)]
    remedy = "\n  a quote is missing" if open_quote else f"\n  {remedies[0]}" if remedies else ""
    shown, at = _clip(_hide(line), column - 1)
    return f"line {number}, column {column}: {reason}\n  {shown}\n  {' ' * at}^{remedy}"


def _hide(line: str) -> str:
    """Return the line with stars for what may be a secret and for what does not print; no character moves."""
    if secret := _SECRET.search(line):
        line = line[: secret.start(2)] + "*" * len(secret[2])
    line = _USER_INFO.sub(lambda found: f"://{'*' * len(found[1])}@", line)
    return "".join(one if one.isprintable() else " " for one in line)


def _clip(line: str, at: int) -> tuple[str, int]:
    if len(line) <= SHOWN_CHARACTERS:
        return line, at
    start = min(max(0, at - SHOWN_CHARACTERS // 2), len(line) - SHOWN_CHARACTERS)
    return line[start : start + SHOWN_CHARACTERS], at - start
