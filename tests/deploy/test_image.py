"""The image, built without a container engine on a debootstrapped Debian 12, and run as it is meant to be run."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from peers import Broker, free_port, wait_for

REPOSITORY = Path(__file__).resolve().parent.parent.parent
DOCKER = REPOSITORY / "deploy/docker"
BASE, IMAGE = "localhost/inspector-base:bookworm", "localhost/inspector:test"
PACKAGES = "python3,python3-venv,ca-certificates,openssl"

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.timeout(900)]


def run(*command: str | Path, **environ: str) -> str:
    """Run a command to its end and return what it printed."""
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environ})
    assert ran.returncode == 0, f"{command}:\n{ran.stdout[-3000:]}\n{ran.stderr[-3000:]}"
    return ran.stdout.strip()


@contextlib.contextmanager
def container(image: str) -> Iterator[tuple[str, Path]]:
    """A container of an image and its mounted root."""
    name = run("buildah", "from", image)
    try:
        yield name, Path(run("buildah", "mount", name))
    finally:
        run("buildah", "rm", name)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The built image: its configuration."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for program in ("buildah", "debootstrap", "unshare"):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            pytest.skip(f"{program} is not installed: sudo apt-get install buildah debootstrap util-linux")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inspector-tests"
    root = cache / "bookworm-python"
    if not root.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = cache / "bookworm-python.partial"
        shutil.rmtree(fresh, ignore_errors=True)
        run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", fresh)
        fresh.rename(root)
    if not run("buildah", "images", "--quiet", "--filter", f"reference={BASE}"):
        name = run("buildah", "from", "scratch")
        archive = tmp_path_factory.mktemp("base") / "base.tar"
        run("tar", "-C", root, "-cf", archive, ".")
        run("buildah", "add", "--quiet", name, archive, "/")
        run("buildah", "commit", "--quiet", name, BASE)
        run("buildah", "rm", name)
        archive.unlink()
    # The build installs from the package index as this machine is set up to: its pip and certificates are lent.
    lent = [
        path for path in ("/etc/pip.conf", str(Path.home() / ".config/pip"), "/etc/ssl/certs") if Path(path).exists()
    ]
    run(DOCKER / "build.sh", IMAGE, BASE=BASE, BUILDAH_OPTIONS=" ".join(f"--volume {path}:{path}:ro" for path in lent))
    inspected = json.loads(run("buildah", "inspect", "--type", "image", IMAGE))
    return dict(inspected["Docker"]["config"])


@contextlib.contextmanager
def locked_down(
    config: dict[str, Any], root: Path, command: Sequence[str], **environ: str
) -> Iterator[subprocess.Popen[str]]:
    """Run a command in the image as its user, on a read-only root with /tmp and the state folder writable."""
    script = """set -e
mount --bind "$ROOT" "$ROOT"
for place in tmp var/lib/inspector; do mount -t tmpfs -o mode=1777 none "$ROOT/$place"; done
mount --rbind /dev "$ROOT/dev"; mount -t proc none "$ROOT/proc"
mount -o remount,bind,ro "$ROOT"
exec chroot --userspec="$IMAGE_USER" "$ROOT" /usr/bin/env -i $IMAGE_ENV "$@"
"""
    variables = " ".join([*config["Env"], *(f"{name}={value}" for name, value in environ.items())])
    process = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *command],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "ROOT": str(root), "IMAGE_ENV": variables, "IMAGE_USER": config["User"]},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_demo_runs_in_the_image_as_nobody_on_a_read_only_root(image: dict[str, Any], plain_broker: Broker) -> None:
    """The drawn strip is inspected and every message delivered to a broker outside."""
    broker = f"127.0.0.1:{plain_broker.port}"
    command = [*image["Entrypoint"], "demo", "--headless", "--seconds", "15", "--broker", broker]
    with container(IMAGE) as (_, root), locked_down(image, root, command) as demo:
        out, err = demo.communicate(timeout=300)
    result = json.loads(out.splitlines()[-1])

    assert demo.returncode in (0, 1), err  # 1: the bundle finds too little, which is another test's business
    assert result["frames"] > 0
    assert result["tiles"] > 0
    assert result["delivered"] > 0


def test_the_daemon_runs_in_the_image_and_its_health_check_follows_its_health(
    image: dict[str, Any], plain_broker: Broker
) -> None:
    """Healthy while it inspects, unhealthy once it is gone; nothing but the state folder is written to."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/healthz"
    settings = {
        "INSPECTOR_STATION__SITE": "test", "INSPECTOR_STATION__LINE": "line", "INSPECTOR_STATION__NAME": "image",
        "INSPECTOR_SOURCE__KIND": "demo", "INSPECTOR_MQTT__PORT": str(plain_broker.port),
        "INSPECTOR_HTTP__PORT": str(port),
    }  # fmt: skip
    check = image["Healthcheck"]["Test"][1:]
    with container(IMAGE) as (_, root):
        (root / "etc/inspector").mkdir()
        (root / "etc/inspector/station.toml").write_text("")
        with locked_down(image, root, [*image["Entrypoint"], *image["Cmd"]], **settings):

            def healthy() -> bool:
                try:
                    with urllib.request.urlopen(url, timeout=5) as answer:
                        return bool(json.load(answer)["state"] == "ok")
                except (urllib.error.URLError, ConnectionError):
                    return False

            wait_for(healthy, "the daemon in the image", 120)
            with locked_down(image, root, check, HEALTH_URL=url) as checking:
                assert checking.wait(60) == 0
        with locked_down(image, root, check, HEALTH_URL=url) as checking:
            assert checking.wait(60) != 0
            assert checking.communicate()[0] == ""


def test_the_image_holds_what_it_needs_and_no_more(image: dict[str, Any]) -> None:
    """No TensorFlow, training, pip or setuptools; not root; a state volume; a health check."""
    with container(IMAGE) as (_, root):
        (packages,) = (root / "opt/inspector/lib").glob("python3*/site-packages")
        names = {path.name.lower() for path in packages.iterdir()}
        size_bytes = sum(
            path.stat().st_size
            for path in (root / "opt/inspector").rglob("*")
            if path.is_file() and not path.is_symlink()
        )

    assert not names & {"tensorflow", "keras", "training", "pip", "setuptools", "amqtt", "pytest"}
    assert {"inspector", "ai_edge_litert", "cv2", "prometheus_client"} <= names
    assert image["User"] == "10001:10001"
    assert image["Volumes"] == {"/var/lib/inspector": {}}
    assert image["Healthcheck"]["Retries"] == 3
    assert size_bytes < 400e6, f"{size_bytes / 1e6:.0f} MB"
