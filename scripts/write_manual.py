"""Write what a line PC has beside the program: the commented example, man pages, and completions for three shells.

scripts/write_manual.py   # write
scripts/write_manual.py --check  # exit 1 if something is stale (a test runs this)

All of it comes from the commands and the settings. The wheel and the Debian package take `deploy/share` as it is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from typer.completion import get_completion_script
from typer.main import get_command

from inspector.cli import app
from inspector.commands.doors import every_command
from inspector.settings.described import EXAMPLE, REQUIRED, example_toml, first_line, key_rows, section_models
from inspector.settings.source import SourceOptions

SHARE = Path(__file__).parents[1] / "deploy" / "share"
COMPLETIONS = {
    "bash": "bash-completion/completions/inspector",
    "zsh": "zsh/vendor-completions/_inspector",
    "fish": "fish/vendor_completions.d/inspector.fish",
}
EXIT_CODES = {
    "0": "Asked to stop, or good.",
    "1": "A failure that a restart may fix, or something is unreachable.",
    "2": "Wrong use of the command line.",
    "78": "The configuration, the bundle or the store is refused: a person has to change something.",
}
FILES = {
    "/etc/inspector/NAME.toml": "Configuration of the station that inspector@NAME.service runs; see inspector.toml(5).",
    "/var/lib/inspector/NAME": "Its store and evidence pictures.",
    "/etc/credstore/inspector.NAME.*": "Its secrets.",
    "/usr/share/doc/inspector": "Operations, runbook, reference, examples.",
}


def roff(text: str) -> str:
    """Return a text as roff takes it: no line of it is a request, no character an escape."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "")
    return re.sub(r"^(?=[.'])", r"\\&", escaped, flags=re.MULTILINE)


def title(name: str, section: int) -> str:
    """Return the first line of a page; it has no date, so the same code gives the same page."""
    return f'.TH {name.upper()} {section} "" "inspector" "inspector"'


def terms(rows: dict[str, str]) -> Iterator[str]:
    """Yield a list of terms, each with its sentence."""
    for term, text in rows.items():
        yield from (".TP", f".B {roff(term)}", roff(text))


def command_page() -> str:
    """Return inspector(1)."""
    group: Any = get_command(app)
    lines = [title("inspector", 1), ".SH NAME", f"inspector \\- {roff(str(group.help).partition(':')[0].lower())}"]
    lines += [".SH SYNOPSIS", ".B inspector", ".I COMMAND", "[options]", ".SH DESCRIPTION", roff(str(group.help))]
    lines += [".SH COMMANDS"]
    for name, command in every_command(group):
        if not command.hidden:
            lines += command_lines(name, command)
    lines += [".SH EXIT STATUS", *terms(EXIT_CODES), ".SH FILES", *terms(FILES)]
    lines += [".SH ENVIRONMENT", *terms({"INSPECTOR_SECTION__KEY": "Sets a key of the configuration; JSON for lists."})]
    lines += [".SH SEE ALSO", ".BR inspector.toml (5),", ".BR systemctl (1),", ".BR journalctl (1)"]
    return "\n".join(lines) + "\n"


def command_lines(name: str, command: Any) -> Iterator[str]:
    """Yield the part of inspector(1) about one command."""
    with click.Context(command, info_name=f"inspector {name}") as context:
        usage = " ".join(command.collect_usage_pieces(context))
        yield from (f".SS inspector {roff(name)} {roff(usage)}", roff(" ".join(str(command.help).split())))
        for parameter in command.get_params(context):
            record = parameter.get_help_record(context)
            if record is not None and "--help" not in parameter.opts:
                option = re.sub(r"<list\[(\w+)\]>", lambda found: f"<{found[1].lower()}>", record[0])
                yield from (".TP", f".B {roff(option)}", roff(" ".join(re.sub(r"\[/?\w+\]", "", record[1]).split())))


def configuration_page() -> str:
    """Return inspector.toml(5)."""
    lines = [title("inspector.toml", 5), ".SH NAME", "inspector.toml \\- configuration of one inspection station"]
    lines += [".SH SYNOPSIS", ".B /etc/inspector/NAME.toml", ".SH DESCRIPTION"]
    lines += [
        "A TOML file. Values from elsewhere are stronger than it: command line, environment variables",
        ".BR INSPECTOR_SECTION__KEY ,",
        "and secret files. Unknown keys and variables are refused by name.",
        ".PP",
        ".B inspector check \\-\\-config FILE",
        "says what is wrong with which key.",
        ".B inspector example",
        "prints a whole file with comments,",
        ".B inspector keys WORD",
        "looks a key up.",
        ".SH EXAMPLE",
        ".nf",
        *smallest(),
        ".fi",
        ".SH KEYS",
    ]
    rows = list(key_rows())
    for section, models in section_models():
        says = first_line(SourceOptions if section == "source" else models[0])
        lines += [f".SS [{section}]", roff(says)]
        for row in (row for row in rows if row.section == section):
            default = {"required": "Required.", "unset": "Unset by default."}.get(
                row.default, f"Default: {row.default}."
            )
            kinds = f" Kind {', '.join(row.kinds)}." if row.kinds else ""
            lines += [".TP", f".B {roff(row.key)}", roff(f"{row.says}{kinds}")]
            lines += [".br", roff(f"Accepts: {row.accepts}. {default}")]
    lines += [".SH SEE ALSO", ".BR inspector (1)"]
    return "\n".join(lines) + "\n"


def smallest() -> Iterator[str]:
    """Yield the smallest file that runs."""
    begun = ""
    for name, value in REQUIRED.items():
        section, _, key = name.partition(".")
        if section != begun:
            begun = section
            yield f"[{section}]"
        yield roff(f"{key} = {value}")


def completion(shell: str) -> str:
    """Return the script that completes commands and options in a shell."""
    script = get_completion_script(prog_name="inspector", complete_var="_INSPECTOR_COMPLETE", shell=shell)
    return script.strip() + "\n"


def files() -> dict[Path, str]:
    """Return every file with its content."""
    pages = {"man/man1/inspector.1": command_page(), "man/man5/inspector.toml.5": configuration_page()}
    pages |= {path: completion(shell) for shell, path in COMPLETIONS.items()}
    return {EXAMPLE: example_toml()} | {SHARE / path: text for path, text in pages.items()}


def main() -> int:
    """Write the files, or name those that are stale."""
    check = "--check" in sys.argv
    stale = 0
    for path, text in files().items():
        if not path.is_file() or path.read_text("utf-8") != text:
            stale += 1
            sys.stderr.write(f"{'stale' if check else 'written'}: {path.name}\n")
            if not check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, "utf-8")
    return int(check and stale > 0)


if __name__ == "__main__":
    sys.exit(main())
