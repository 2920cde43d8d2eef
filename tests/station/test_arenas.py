"""`inspector.station.arenas`: memory that threads have freed comes back to others, without the unit's variable."""

from __future__ import annotations

import subprocess
import sys

import pytest

COUNT = """
import ctypes, os, sys, tempfile, threading
from inspector.station.arenas import keep_few_arenas
if sys.argv[1] == "bound" and not keep_few_arenas():
    sys.exit(3)
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
together = threading.Barrier(12)
def take():
    together.wait()
    libc.malloc(100_000)
    together.wait()
threads = [threading.Thread(target=take) for _ in range(12)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc.fopen.restype = ctypes.c_void_p
name = tempfile.mktemp()
file = ctypes.c_void_p(libc.fopen(name.encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
print(open(name).read().count("<heap nr="))
os.unlink(name)
"""


def arenas(how: str) -> int:
    environ, program = {"PYTHONPATH": ":".join(sys.path)}, [sys.executable, "-c", COUNT, how]
    asked = subprocess.run(program, capture_output=True, text=True, check=False, env=environ)
    if asked.returncode == 3:
        pytest.skip("this C library has no arenas")
    return int(asked.stdout)


def test_threads_share_two_arenas() -> None:
    """Twelve threads take memory from two places; left to itself, the C library makes one for each."""
    assert arenas("bound") <= 2 < arenas("free")
