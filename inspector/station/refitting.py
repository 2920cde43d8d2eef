"""A station's bundle with a reference that fits it: after an upgrade the accepted one is refitted first.

The tiles that it was taught from are kept beside it, so that a new bundle or runtime never leaves a station untaught.
It takes seconds, in a process of its own; while it takes longer, or if it fails, the station runs untaught and says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import structlog

from inspector.clock import Clock
from inspector.model.golden import kernels_of
from inspector.settings.sections import Settings
from inspector.station.teach_fit import ChildFit, FitResult, fit_order
from inspector.station.wiring import OpenModel, open_bundle, reference_folder, with_reference
from inspector.teach.accepted import read_accepted

LONGEST_S = 30.0
"""A start waits no longer for it; the refit goes on, and the running station takes what it leaves."""
STEP_S = 0.2

_log = structlog.get_logger("teach")


def open_taught(settings: Settings, clock: Clock, alive: Callable[[], None], *, quietly: bool = False) -> OpenModel:
    """Return what `open_bundle` returns, with the reference refitted if it is for another bundle or runtime.

    Args:
        settings: The configuration.
        clock: Time.
        alive: Called several times a second while it waits.
        quietly: Another station inspects meanwhile: the refit has the lowest priority.

    Raises:
        RefusedError: As `open_bundle`.
    """
    model = open_bundle(settings)
    if not needs_refit(model):
        return model
    folder, before = reference_folder(settings), model.taught
    _log.info("reference_refits", reason=before.trouble or "another runtime or processor")
    result = _refit(fit_order(settings, model.bundle, folder, None, quietly=quietly), clock, alive)
    now = read_accepted(folder, model.bundle)
    if result.counts:
        _log.info("reference_refitted", reference=now.short, before=before.short, result=result.text)
    else:
        _log.warning("reference_not_refitted", still=now.short, reason=result.text)
        if now.trouble is not None:
            now = replace(now, trouble=f"{now.trouble}; the refit: {result.text}")
    return replace(model, taught=now, rules=with_reference(model.rules, now))


def needs_refit(model: OpenModel) -> bool:
    """Say whether the accepted reference was made for another bundle, or with other kernels, than those that run."""
    taught = model.taught
    return taught.foreign or (taught.card is not None and taught.card.kernels != kernels_of(model.runtime))


def _refit(order: dict[str, object], clock: Clock, alive: Callable[[], None]) -> FitResult:
    pause, begun = threading.Event(), clock.monotonic()
    try:
        child = ChildFit(order)
    except OSError as exc:
        return FitResult(None, f"no process can be started for it: {exc.strerror}")
    while (result := child.result()) is None:
        if clock.monotonic() - begun > LONGEST_S:
            return FitResult(None, f"it takes longer than {LONGEST_S:g} s, and goes on beside the station")
        alive()
        pause.wait(STEP_S)
    return result
