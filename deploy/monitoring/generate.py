"""Write everything of the monitoring pack that follows from the code: `make monitoring`.

    python -m deploy.monitoring.generate          writes
    python -m deploy.monitoring.generate --check  exits 1 and names what is stale

Rules and dashboards come from the metric objects; the tables of `docs/monitoring.md` come from the same data.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy.monitoring import alerts, dashboards, records, rules, targets
from inspector.settings.sections import Settings

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parent.parent / "docs" / "monitoring.md"
FIRST_PORT = 9108
EXAMPLE_STATIONS = 20

_BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def files() -> dict[Path, str]:
    """Return every generated file with its text; needs Grafana's SDK, as nothing else of the pack does."""
    from deploy.monitoring import grafana

    return {
        HERE / "prometheus/rules/inspector-records.yml": rules.render_records(),
        HERE / "prometheus/rules/inspector-alerts.yml": rules.render_alerts(),
        HERE / "prometheus/targets/twenty-stations.json": targets.render(targets.collect(_example_stations())),
        **{HERE / f"grafana/dashboards/{board.uid}.json": grafana.render(board) for board in dashboards.BOARDS},
        DOCUMENT: fill(DOCUMENT.read_text(encoding="utf-8")),
    }


def fill(document: str) -> str:
    """Return a document with its generated blocks as they are now.

    Raises:
        KeyError: A block that nothing generates.
    """
    tables: Mapping[str, str] = {
        "records": "\n".join(_record_rows()),
        "alerts": "\n".join(_alert_rows()),
        "limits": "\n".join(_limit_rows()),
        "panels": "\n".join(_panel_rows()),
    }
    return _BLOCK.sub(lambda match: f"{match[1]}{tables[match[2]]}\n{match[3]}", document)


def _example_stations() -> Iterator[Settings]:
    for number in range(EXAMPLE_STATIONS):
        yield Settings.model_validate(
            {
                "station": {"site": "works", "line": f"line{number // 4 + 1}", "name": f"cam{number % 4 + 1}"},
                "source": {"kind": "folder", "path": f"/srv/frames/cam{number + 1}"},
                "http": {"port": FIRST_PORT + number},
            }
        )


def _record_rows() -> Iterator[str]:
    yield "| series | what it is |"
    yield "| --- | --- |"
    for record in records.RECORDS:
        yield f"| `{record.name}` | {record.text} |"


def _alert_rows() -> Iterator[str]:
    yield "| alert | level | after | means | first step |"
    yield "| --- | --- | --- | --- | --- |"
    for alert in alerts.ALERTS:
        link = f"[{alert.name}](runbook.md#{alert.name.lower()})"
        hold = "at once" if alert.hold == "0s" else alert.hold
        yield f"| {link} | {alert.level} | {hold} | {alert.meaning} | {alert.action} |"


def _limit_rows() -> Iterator[str]:
    yield "| limit | default | alert fires when |"
    yield "| --- | --- | --- |"
    for name, (default, says) in alerts.limit_rows().items():
        yield f"| `{name}` | {default:g} | {says} |"


def _panel_rows() -> Iterator[str]:
    for board in dashboards.BOARDS:
        yield f"### {board.title}\n\n{board.text}\n"
        yield "| row | panel | what it shows |"
        yield "| --- | --- | --- |"
        for row in board.rows:
            for panel in row.panels:
                yield f"| {row.title} | {panel.title} | {panel.text} |"
        for annotation in board.annotations:
            yield f"| (marks) | {annotation.name} | {annotation.text} |"
        yield ""


def main() -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(description="Write the monitoring pack.")
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if a file is stale")
    check = parser.parse_args().check
    stale = [path for path, text in files().items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{'stale' if check else 'written'}: {path.relative_to(HERE.parent.parent)}")
        if not check:
            path.write_text(files()[path], encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
