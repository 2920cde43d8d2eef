"""Make the alert rules anew with a plant's own limits, waiting times and addresses.

    python -m deploy.monitoring.tune --list
    python -m deploy.monitoring.tune --set burst_defects=50 --set share_low=0.9 --for InspectorBlind=2m \
        --runbook https://wiki.plant/inspector/runbook --grafana https://grafana.plant > rules/inspector-alerts.yml

On a line PC or beside Prometheus it is in the package: cd /usr/share/inspector/monitoring, and call it with
/opt/inspector/venv/bin/python. Exit code 2: a limit or an alert that does not exist, or a value that is none.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence

from deploy.monitoring.alerts import Limits, limit_rows, make_alerts
from deploy.monitoring.rules import Links, render_alerts


def read_limits(pairs: Sequence[str]) -> Limits:
    """Return the limits with these changes.

    Args:
        pairs: `name=number`.

    Raises:
        ValueError: No limit of such a name, or no number from 0 on; the text says which.
    """
    known, changed = limit_rows(), {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        if name not in known:
            raise ValueError(f"no such limit: {name} (--list shows them)")
        try:
            value = type(known[name][0])(text)
        except ValueError as exc:
            raise ValueError(f"{name}: expected a number: {text!r}") from exc
        if not 0 <= value < 1e12:
            raise ValueError(f"{name}: expected a number from 0 on: {text!r}")
        changed[name] = value
    return Limits(**changed)


def read_holds(pairs: Sequence[str]) -> dict[str, str]:
    """Return waiting times by alert.

    Args:
        pairs: `Alert=time`, the time as Prometheus writes it: 30s, 5m, 1h30m.

    Raises:
        ValueError: No time.
    """
    holds = dict(pair.partition("=")[::2] for pair in pairs)
    for name, text in holds.items():
        if not re.fullmatch(r"(\d+h)?(\d+m)?(\d+s)?", text) or not text:
            raise ValueError(f"{name}: expected a time as 30s, 5m or 1h30m: {text!r}")
    return holds


def main() -> int:
    """Print the rules, or the list of limits."""
    assert __doc__ is not None  # noqa: S101 - it is above
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="show the limits with their defaults")
    parser.add_argument("--set", action="append", default=[], metavar="LIMIT=NUMBER")
    parser.add_argument("--for", action="append", default=[], dest="holds", metavar="ALERT=TIME")
    parser.add_argument("--runbook", default=Links().runbook, help="address of the runbook; #alert is added")
    parser.add_argument("--grafana", default=Links().grafana, help="address of Grafana")
    given = parser.parse_args()
    if given.list:
        for name, (default, says) in limit_rows().items():
            print(f"{name}={default:g}  {says}")
        return 0
    try:
        alerts = make_alerts(read_limits(given.set), read_holds(given.holds))
    except (ValueError, LookupError) as exc:
        parser.error(str(exc))
    sys.stdout.write(render_alerts(alerts, Links(given.runbook, given.grafana)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
