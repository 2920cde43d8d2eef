"""Stands in for a pager: prints each alert that Alertmanager sends, for `docker compose logs -f alerts`."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, HTTPServer


class Pager(BaseHTTPRequestHandler):
    """Takes webhook calls."""

    def do_POST(self) -> None:
        """Print one line for each alert of the call."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for alert in body["alerts"]:
            labels, texts = alert["labels"], alert["annotations"]
            print(f"{alert['status']} {labels['alertname']} ({labels.get('severity')}): {texts.get('summary')}"
                  f" -> {texts.get('description')}", flush=True)  # fmt: skip
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Do not log requests."""


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", 9095), Pager).serve_forever()
