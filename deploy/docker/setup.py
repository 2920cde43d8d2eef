"""Make certificates, passwords and tokens for the compose file, once; run by its service `setup`.

What is there already stays, except a certificate that ends within 30 days: it is made again. Each service has a folder
of its own with only what it needs, owned by the user that it runs as. Standard library and openssl only.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

STATION = "works/line1/demo"
"""User of the station at the broker: its site/line/name, as in station.toml."""
USERS = {"broker": 1883, "station": 10001, "prometheus": 65534, "grafana": 472}
"""Folder, and the user id that its service has in the official image."""
RENEWED_BEFORE_S = 30 * 86400
ITERATIONS = 101
"""As mosquitto_passwd's own default."""


def mosquitto_hash(password: str) -> str:
    """Return a line's second half for mosquitto's password file: PBKDF2 with SHA-512."""
    salt = secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    return f"$7${ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def write(path: Path, text: str) -> None:
    """Write a secret file, complete or not at all."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.touch(0o600)
    fresh.write_text(text)
    fresh.rename(path)


def make_secret(path: Path) -> str:
    """Return the secret in a file, which is made if it is missing."""
    if not path.exists():
        write(path, secrets.token_urlsafe(32) + "\n")
    return path.read_text().strip()


def set_up(root: Path, script: Path, acl: Path) -> None:
    """Fill the folders `ca` and those of `USERS` below `root`."""
    folders = {name: root / name for name in ("ca", *USERS)}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    authority = folders["ca"]

    def lasts(path: Path) -> bool:
        command = ["openssl", "x509", "-checkend", str(RENEWED_BEFORE_S), "-noout", "-in", path]
        return path.exists() and subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0

    def certificate(command: str, name: str, *arguments: str) -> None:
        path = authority / f"{name}.crt"
        if not (path.exists() if command == "ca" else lasts(path)):  # another CA would end the trust of all
            subprocess.run(["sh", script, command, authority, *arguments], check=True)
            print(f"made certificate: {name}")

    certificate("ca", "ca")
    certificate("server", "broker", "broker", "mosquitto", "localhost", "127.0.0.1")
    certificate("server", "station", "station", "station", "localhost", "127.0.0.1")
    for name in ("broker", "station", "prometheus"):
        shutil.copyfile(authority / "ca.crt", folders[name] / "ca.crt")
    for folder, name in (("broker", "broker"), ("station", "station")):
        for end in (".crt", ".key"):
            shutil.copyfile(authority / f"{name}{end}", folders[folder] / f"{name}{end}")
            (folders[folder] / f"{name}{end}").chmod(0o400)

    passwords = {STATION: make_secret(folders["station"] / "mqtt.password"),
                 **{user: make_secret(folders["broker"] / f"{user}.password")
                    for user in ("plant", "operator", "telegraf", "nodered")}}  # fmt: skip
    write(
        folders["broker"] / "passwords", "".join(f"{user}:{mosquitto_hash(word)}\n" for user, word in passwords.items())
    )
    shutil.copyfile(acl, folders["broker"] / "acl")
    (folders["broker"] / "acl").chmod(0o600)

    token = make_secret(folders["station"] / "http.token")
    write(folders["prometheus"] / "token", token)
    make_secret(folders["grafana"] / "admin.password")

    if os.geteuid() == 0:
        for name, user in USERS.items():
            for path in (folders[name], *folders[name].iterdir()):
                os.chown(path, user, user)
    for folder in folders.values():
        folder.chmod(0o700)


if __name__ == "__main__":
    set_up(*(Path(argument) for argument in sys.argv[1:4]))
