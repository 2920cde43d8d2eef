"""Everything inspector raises on purpose.

::

    InspectorError
    ├── RefusedError            exit 78: a person must change something before a start makes sense
    │   ├── ConfigError         a key, file or variable of the configuration
    │   ├── BundleError         a model bundle that does not hold what its card says
    │   ├── SiteReferenceError  what a teach-in left is damaged, or is for another bundle
    │   ├── LessonError         nothing can be taught from what was shown
    │   └── StoreError          a store that is in use, or whose folder cannot be one
    ├── StoreBusyError          a store that cannot be written or read now (a full disk); the daemon tries again
    │   └── StoreDamagedError   its file is proven broken or not ours; it is set aside and a new one begun
    ├── CommandError            a command that is understood and cannot be carried out; `word` says why in one word
    ├── PictureError            a picture that cannot be inspected; `reason` is one word of `frame.Cause`
    ├── SourceError             a camera, stream or folder that is not there now; the daemon waits and retries
    ├── BrokerError             a broker that is absent or refuses; the daemon waits and retries
    └── WorkerError             a dead worker; the process ends with 1 so that its supervisor restarts it
"""

from __future__ import annotations

MAX_SAID = 600
"""Longest text of a `SourceError`."""
EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_REFUSED = 78
"""Exit codes: asked to stop, a restart may fix it, wrong command line, configuration or bundle refused (EX_CONFIG)."""


class InspectorError(Exception):
    """Base of all errors that inspector raises on purpose; the text names the thing and ends with the value."""

    exit_code = EXIT_FAILURE


class RefusedError(InspectorError):
    """Starting again changes nothing: a person must act first."""

    exit_code = EXIT_REFUSED


class ConfigError(RefusedError):
    """A configuration key, file or environment variable is wrong."""


class BundleError(RefusedError):
    """A model bundle is missing, damaged, foreign, or does not score on this machine what its card promises."""


class SiteReferenceError(RefusedError):
    """The reference of a site cannot be used: the station inspects on without it.

    Attributes:
        exit_code: A station that runs goes on: nothing keeps it from starting.
        kind: `bundle` (for another bundle: refit it), `damaged` (cut, or other bytes than were written), `bounds` (too
            large, or of a release to come), or `absent`.
    """

    exit_code = EXIT_FAILURE

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class LessonError(RefusedError):
    """Nothing can be taught from what was shown, or the result was refused; the station inspects on as before."""

    exit_code = EXIT_FAILURE


class StoreError(RefusedError):
    """The store is locked by another process, or its folder cannot be one."""


class StoreBusyError(InspectorError):
    """The store cannot be written or read now: the disk is full or broken. Waiting may fix it."""


class StoreDamagedError(StoreBusyError):
    """The file of the store is proven broken, foreign, or too new: waiting does not help, a new file does."""


class CommandError(InspectorError):
    """A command is understood, and cannot be carried out: what it names is not there, or it is one too many.

    Attributes:
        word: Why, in one word, as `error` of the reply.
    """

    def __init__(self, message: str, word: str) -> None:
        super().__init__(message)
        self.word = word


class PictureError(InspectorError):
    """A picture cannot be inspected.

    Attributes:
        reason: One word of `frame.Cause`, fit for a metric label and a message field.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class SourceError(InspectorError):
    """A source is not there, or stopped delivering. Waiting may fix it.

    Its text is one line of at most `MAX_SAID` printable characters, cut in its middle: what a camera says of itself is
    part of it, and goes onto terminals and into health, whose message a broker may not take if it is long.
    """

    def __init__(self, text: str) -> None:
        line = " ".join(text.split())
        if len(line) > MAX_SAID:
            line = f"{line[: MAX_SAID - 200]}…{line[-199:]}"
        super().__init__("".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in line))


class BrokerError(InspectorError):
    """A broker is not there, or refuses this client. Waiting may fix it."""


class WorkerError(InspectorError):
    """A thread that the daemon cannot run without has ended."""
