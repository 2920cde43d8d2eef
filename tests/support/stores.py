"""Starting again with the store that is there."""

from __future__ import annotations

from typing import Any

from fakes import FakeClock

from inspector.store.store import Store


def reopened(store: Store, clean: bool = True, **changes: Any) -> Store:
    """The same store in the next process, after a clean end or a death."""
    store.close(clean)
    return Store(store.folder, FakeClock(), **changes)
