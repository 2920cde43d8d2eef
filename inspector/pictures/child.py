"""Decodes a picture in a process of its own, whose memory and time are bounded: for pictures of unknown origin.

A picture that kills its decoder, or needs more than it may have, costs that process and nothing else. What comes back
is what `decode_picture` gives, or its refusal. The child arms no crash points and inherits no limit of the station.

Run as `python -m inspector.pictures.child`: one line of JSON and the file on standard input, one line of JSON and the
pixels on standard output.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from typing import Any

import numpy as np

from inspector.errors import PictureError
from inspector.frame import Cause, Pixels
from inspector.pictures.decode import decode_picture

CHILD_MEMORY_BYTES = 320 << 20
"""What a child may allocate beyond what it has when it begins."""
CHILD_TIME_S = 10
"""Processor time that it may use; it is waited for twice as long."""


def decode_in_child(data: bytes, *, name: str, max_px: int, full_scale: int | None = None) -> Pixels:
    """Decode one still picture in a child process; arguments and result as of `decode_picture`.

    Raises:
        PictureError: As `decode_picture`; `deadly` if the child died or took too long over it.
    """
    order = json.dumps({"name": name, "max_px": max_px, "full_scale": full_scale}).encode()
    environ = {key: value for key, value in os.environ.items() if not key.startswith("INSPECTOR_")}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "inspector.pictures.child"],
            input=order + b"\n" + data,
            capture_output=True,
            timeout=2 * CHILD_TIME_S,
            check=False,
            env={
                **environ,
                "OPENBLAS_NUM_THREADS": "1",
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            },
        )
    except subprocess.TimeoutExpired as exc:
        raise PictureError(f"{name}: decoding takes longer than {2 * CHILD_TIME_S} s", Cause.DEADLY) from exc
    head, _, body = done.stdout.partition(b"\n")
    if done.returncode != 0 or not head:
        why = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        raise PictureError(f"{name}: decoding it ends the process that does it ({why})", Cause.DEADLY)
    answer: dict[str, Any] = json.loads(head)
    if "error" in answer:
        raise PictureError(answer["error"], Cause(answer["reason"]))
    return np.frombuffer(body, np.uint8).reshape(answer["shape"])


def main() -> None:
    """Decode what comes on standard input."""
    order, _, data = sys.stdin.buffer.read().partition(b"\n")
    _bound(CHILD_MEMORY_BYTES)
    try:
        pixels = decode_picture(data, **json.loads(order))
    except PictureError as exc:
        answer: dict[str, Any] = {"error": str(exc), "reason": exc.reason}
        body = b""
    except MemoryError:
        name = json.loads(order)["name"]
        text = f"{name}: decoding it needs more than {CHILD_MEMORY_BYTES} bytes of memory"
        answer, body = {"error": text, "reason": Cause.TOO_LARGE.value}, b""
    else:
        answer, body = {"shape": pixels.shape}, pixels.tobytes()
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + body)


def _bound(more_bytes: int) -> None:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - no file of ours
        now_bytes = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now_bytes + more_bytes,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (CHILD_TIME_S,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
