"""A broker for the demo: a running one, or one in this process."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from inspector.errors import BrokerError, ConfigError


@contextmanager
def some_broker(address: str | None) -> Iterator[tuple[str, int, bool]]:
    """Give host and port of the named broker, or of one that runs as long as the block, and whether it is ours."""
    if address is not None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise ConfigError(f"--broker: HOST:PORT is wanted: {address}")
        yield host, int(port), False
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port_number = int(probe.getsockname()[1])
    own = _EmbeddedBroker(port_number)
    try:
        yield "127.0.0.1", port_number, True
    finally:
        own.stop()


class _EmbeddedBroker:
    """amqtt on a thread with an event loop of its own; MQTT 3.1.1 only."""

    def __init__(self, port: int) -> None:
        try:
            from amqtt.broker import Broker
        except ImportError as exc:
            raise ConfigError(
                "the demo's own broker needs the extra: pip install 'inspector[demo]' (or --broker)"
            ) from exc
        logging.getLogger("amqtt").setLevel(logging.CRITICAL)
        logging.getLogger("transitions").setLevel(logging.CRITICAL)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="broker", daemon=True)
        self._thread.start()
        config = {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}", "max_connections": 50}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }

        async def start() -> Any:
            broker = Broker(config)
            await broker.start()
            return broker

        self._broker = self._call(start(), f"the demo's own broker cannot listen on 127.0.0.1:{port}")

    def _call(self, work: Coroutine[Any, Any, Any], failure: str) -> Any:
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)
        except Exception as exc:  # the broker raises errors of its own making
            raise BrokerError(f"{failure}: {exc}") from exc

    def stop(self) -> None:
        """End broker, loop and thread."""
        self._call(self._broker.shutdown(), "the demo's own broker does not end")
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
