"""The login of a camera: read from its file, and the answer to the camera's challenge (basic, digest).

No error message contains the password; what is returned here goes to the camera alone.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from email.message import Message
from pathlib import Path

from inspector.errors import SourceError

_CHALLENGE = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,]+))')
_DIGESTS = {"MD5": "md5", "SHA-256": "sha256"}


def read_login(file: Path | None) -> tuple[str, str] | None:
    """Return user and password from `source.credentials_file`, or None where none is set.

    Args:
        file: Holds `user:password`.

    Raises:
        SourceError: The file cannot be read, or holds no `user:password`.
    """
    if file is None:
        return None
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise SourceError(f"source.credentials_file cannot be read: {file}") from exc
    user, colon, password = text.partition(":")
    if not colon:
        raise SourceError(f"source.credentials_file must hold user:password: {file}")
    return user, password


def answer_challenge(method: str, target: str, headers: Message, user: tuple[str, str]) -> str:
    """Answer a challenge: digest (RFC 7616, MD5 or SHA-256, without body) if it is offered, else basic."""
    for challenge in headers.get_all("WWW-Authenticate", []):
        scheme, _, rest = challenge.partition(" ")
        asked = {key.lower(): quoted or bare for key, quoted, bare in _CHALLENGE.findall(rest)}
        algorithm = asked.get("algorithm", "MD5")
        if scheme.lower() != "digest" or algorithm.upper() not in _DIGESTS:
            continue

        def digest(*parts: str, name: str = _DIGESTS[algorithm.upper()]) -> str:
            return hashlib.new(name, ":".join(parts).encode(), usedforsecurity=False).hexdigest()

        secret, what = digest(user[0], asked.get("realm", ""), user[1]), digest(method, target)
        fields = {"username": user[0], "realm": asked.get("realm", ""), "nonce": asked.get("nonce", ""), "uri": target}
        if "opaque" in asked:
            fields["opaque"] = asked["opaque"]
        if "qop" in asked:
            once = os.urandom(8).hex()
            fields["response"] = digest(secret, fields["nonce"], "00000001", once, "auth", what)
            more = f', algorithm={algorithm}, qop=auth, nc=00000001, cnonce="{once}"'
        else:
            fields["response"] = digest(secret, fields["nonce"], what)
            more = f", algorithm={algorithm}"
        return "Digest " + ", ".join(f'{key}="{value}"' for key, value in fields.items()) + more
    return "Basic " + base64.b64encode(":".join(user).encode()).decode()
