"""A small Debian that boots a real systemd in a container of its own: no network but a loopback, nothing kept.

The base is made once by debootstrap and cached outside the repository; a machine runs on an overlay in memory. Driven
from outside with nsenter; what it says is read from its journal as it comes.
"""

from __future__ import annotations

import fcntl
import json
import os
import queue
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SUITE = "bookworm"
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "python3", "python3-venv", "mosquitto", "mosquitto-clients", "iproute2",
    "procps",
)  # fmt: skip
TOOLS = ("debootstrap", "systemd-nspawn", "nsenter", "dpkg-deb")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin"
DEADLINE_S = 60.0
"""Longest wait for anything inside: the two cores have other work, too."""


def missing() -> str:
    """Say what keeps a machine from booting here, or nothing."""
    if os.geteuid() != 0:
        return "root is needed to boot a systemd in a container"
    absent = [tool for tool in TOOLS if shutil.which(tool, path=PATH) is None]
    return f"not installed: {', '.join(absent)} (apt-get install debootstrap systemd-container)" if absent else ""


def cache_folder() -> Path:
    """Return where things lie that are costly to make and the same for every run."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "inspector-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def base_system() -> Path:
    """Return the root folder of a Debian with systemd and mosquitto, made now if it is not there.

    Raises:
        subprocess.CalledProcessError: debootstrap could not make it, as a rule for want of a mirror.
    """
    root = cache_folder() / f"{SUITE}-systemd-{len(PACKAGES)}"
    with (cache_folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.is_dir():
            half = root.with_suffix(".half")
            shutil.rmtree(half, ignore_errors=True)
            command = ("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(half))
            subprocess.run(command, env={**os.environ, "PATH": PATH}, check=True, capture_output=True)
            (half / "etc/machine-id").write_text("")
            half.rename(root)
    return root


class Lines:
    """What a program inside writes, line by line, as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._pump, daemon=True).start()

    def _pump(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout:
            for line in self._process.stdout:
                self._lines.put(line.rstrip("\n"))

    def until(self, wanted: Callable[[str], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
        """Return the first true thing that `wanted` makes of a line."""
        end = time.monotonic() + deadline_s
        seen: list[str] = []
        while (left := end - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left)
            except queue.Empty:
                break
            seen.append(line)
            if result := wanted(line):
                return result
        raise AssertionError(f"not within {deadline_s:g} s: {what}; last lines:\n" + "\n".join(seen[-15:]))

    def close(self) -> None:
        """End the program."""
        self._process.terminate()
        self._process.wait()


class Machine:
    """One booted container.

    Args:
        base: Root folder that it reads; it is not changed.
        shared: Folder of the host that lies at /mnt inside, read-only.
        console: File for what it prints while booting.
    """

    def __init__(self, base: Path, shared: Path, console: Path) -> None:
        # Before its neighbours: the times that are measured inside are those of the service, not of the test run.
        command = ("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--private-network",
                   "--volatile=overlay", f"--directory={base}", f"--bind-ro={shared}:/mnt")  # fmt: skip
        with console.open("wb") as output:
            self._nspawn = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=lambda: os.nice(-10)
            )
        self._console = console
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        end = time.monotonic() + DEADLINE_S
        pause = threading.Event()
        while not self._booted(children):
            if time.monotonic() > end or self._nspawn.poll() is not None:
                self.stop()
                raise AssertionError(f"no systemd in the container:\n{console.read_text(errors='replace')}")
            pause.wait(0.1)
        self.run("systemctl", "is-system-running", "--wait", check=False)

    def _booted(self, children: Path) -> bool:
        if not (leader := children.read_text().split()):
            return False
        self._enter = (
            "nsenter", f"--target={leader[0]}", "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd",
            "--cgroup", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8",
        )  # fmt: skip
        return self.run("test", "-S", "/run/systemd/private", check=False).returncode == 0

    def run(self, *command: str, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command inside and return what it said."""
        done = subprocess.run(
            (*self._enter, *command), input=stdin, capture_output=True, text=True, check=False, timeout=300
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def write(self, path: str, text: str, mode: str = "644") -> None:
        """Write a file inside."""
        self.run("install", "-D", "-m", mode, "/dev/stdin", path, stdin=text)

    @contextmanager
    def follow(self, *command: str) -> Iterator[Lines]:
        """Run a command inside and read its lines as they come."""
        process = subprocess.Popen(
            (*self._enter, *command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        lines = Lines(process)
        try:
            yield lines
        finally:
            lines.close()

    def journal(self, unit: str) -> Any:
        """Follow the journal of a unit from now on, each line a JSON object; use as a context."""
        newest = json.loads(self.run("journalctl", "--lines=1", "--output=json").stdout)["__CURSOR"]
        return self.follow("journalctl", "--follow", "--output=json", f"--unit={unit}", f"--after-cursor={newest}")

    def shows(self, unit: str, *names: str) -> dict[str, str]:
        """Return properties of a unit."""
        text = self.run("systemctl", "show", unit, *(f"--property={name}" for name in names)).stdout
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def stop(self) -> None:
        """Pull the plug: nothing of it is kept."""
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        for leader in children.read_text().split() if self._nspawn.poll() is None else ():
            os.kill(int(leader), signal.SIGKILL)  # its first process; the others go with it
        try:
            self._nspawn.wait(20)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()


def event(line: str) -> dict[str, Any]:
    """Return what the daemon logged in a journal line (its own JSON), or an empty dict."""
    try:
        message = json.loads(line)["MESSAGE"]
        found = json.loads(message)
    except (ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def says(line: str, text: str) -> bool:
    """Say whether a journal line's message holds `text`."""
    return text in str(json.loads(line).get("MESSAGE", ""))


def realtime_s(line: str) -> float:
    """Return when a journal line was written."""
    return int(json.loads(line)["__REALTIME_TIMESTAMP"]) / 1e6
