"""What a line PC has beside the program: a commented example, man pages, completion, keys that can be looked up."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from inspector.commands.check import check_files
from inspector.commands.keys import find_keys, key_lines
from inspector.errors import EXIT_REFUSED
from inspector.settings.described import EXAMPLE, key_rows
from inspector.settings.loading import load_settings, sections_of

SHARE = Path(__file__).parents[1] / "deploy" / "share"
TEXT = EXAMPLE.read_text(encoding="utf-8")
MANUAL = sorted((SHARE / "man").rglob("*.?"))


@pytest.mark.timeout(60)
def test_the_example_is_accepted_as_it_is() -> None:
    """`inspector example > station.toml` gives a file that `inspector check` refuses nothing of."""
    (report,) = check_files([EXAMPLE])

    assert report.refused == []
    assert report.exit_code != EXIT_REFUSED


def test_what_is_commented_out_are_the_defaults(tmp_path: Path) -> None:
    """With every # removed from a key that has a default, the file means the same: nothing in it is wrong or old."""
    other = re.compile(r"\(Kind (?!.*folder)[^)]*\.\)\n(?:#   .*\n|# .*\n)*?#(?=\w+ =)")
    text = re.sub(r"^#(\w+ = )", r"\1", TEXT, flags=re.MULTILINE)
    kept = [line for block in text.split("\n\n") if not other.search(block) for line in (block, "")]
    (path := tmp_path / "all.toml").write_text("\n".join(kept))

    assert load_settings(path, environ={}).settings == load_settings(EXAMPLE, environ={}).settings


def test_the_example_has_every_key_with_its_sentence() -> None:
    """Above each key stand what it is and what it accepts."""
    for section, keys in sections_of().items():
        part = TEXT.partition(f"\n[{section}]\n")[2].partition("\n[")[0]
        for key in keys:
            assert re.search(rf"^# \S.*\n(# .*\n)*# Accepts: .*\n(#   .*\n)*#?{key} =", part, re.MULTILINE), key


@pytest.mark.parametrize("page", MANUAL, ids=lambda page: page.name)
def test_man_pages_are_read_without_a_warning(page: Path) -> None:
    """`man` shows them, and has nothing to say about them."""
    if shutil.which("man") is None or shutil.which("groff") is None:
        pytest.skip("man is not installed: sudo apt-get install man-db groff-base")
    environ = {**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["man", "--warnings", "--local-file", page], env=environ, capture_output=True, text=True, check=True
    )

    assert done.stderr == ""
    assert "NAME" in done.stdout


def test_the_manual_has_every_command_and_key() -> None:
    """No command, option or key is missing from the pages."""
    commands, keys = (page.read_text(encoding="utf-8").replace("\\", "") for page in MANUAL)
    listed = subprocess.run([sys.executable, "-m", "inspector", "--help"], capture_output=True, text=True, check=True)
    names = re.findall(r"^│ (\w+) {2,}", listed.stdout.partition("Commands")[2], re.MULTILINE)

    assert len(names) > 8
    assert [name for name in names if f".SS inspector {name} " not in commands] == []
    assert [row.name for row in key_rows() if f"\n.B {row.key}\n" not in keys] == []


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        pytest.param("inspector ch", "check", id="command"),
        pytest.param("inspector check --co", "--config", id="option"),
    ],
)
def test_a_shell_completes(words: str, offered: str) -> None:
    """What the shipped script asks for on Tab is answered with what begins so."""
    script = (SHARE / "bash-completion/completions/inspector").read_text(encoding="utf-8")
    variable = "_INSPECTOR_COMPLETE"
    environ = {**os.environ, variable: "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    command = [sys.executable, "-c", "import sys; sys.argv[0] = 'inspector'; from inspector.cli import main; main()"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    assert f"{variable}=complete_bash" in script
    assert offered in done.stdout.split()


@pytest.mark.parametrize(
    ("word", "found"),
    [
        pytest.param("roi_xy", ["tiling.roi_xy"], id="key"),
        pytest.param("mqtt.port", ["mqtt.port"], id="with its section"),
        pytest.param("port", ["mqtt.port", "http.port"], id="in two sections"),
        pytest.param("[tiling]", ["tiling.overlap_px", "tiling.roi_xy"], id="section"),
        pytest.param("polygon", ["tiling.roi_xy"], id="word of its sentence"),
    ],
)
def test_keys_are_looked_up(word: str, found: list[str]) -> None:
    """By section, name, or a word of what they mean."""
    assert [row.name for row in find_keys(word)] == found


def test_a_key_that_is_none_has_the_nearest_one() -> None:
    """A slip is answered with the name that exists."""
    with pytest.raises(LookupError, match=r"mqtt\.pot; did you mean mqtt\.port\?"):
        find_keys("mqtt.pot")


def test_a_key_is_described_in_three_lines() -> None:
    """Name and default, sentence, what it accepts; of a source's key the kinds that use it."""
    assert list(key_lines(find_keys("source.settle_s"))) == [
        "source.settle_s = 1.0",
        "    A file found by a scan must have stayed unchanged this long. [folder]",
        "    accepts: number 0 to 3600",
    ]
