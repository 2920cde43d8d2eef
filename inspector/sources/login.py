"""The login of a camera: read from its file, and the answer to the camera's challenge (digest, basic).

A password is sent in the strongest way that the camera offers: basic, which anyone on the network can read, only if the
camera asks for nothing stronger.

No error message contains the password; what is returned here goes to the camera alone.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from inspector.errors import SourceError

_NAME = r"[!#$%&'*+.^_`|~\w-]+"
_TOKEN = re.compile(
    rf"""({_NAME})\s*=(?!=)\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))"""  # a parameter
    rf"|(?:^|,)\s*({_NAME})(?=\s|,|$)(?!\s*=)"  # or the scheme of the next challenge
)
_ESCAPED = re.compile(r"\\(.)")
_DIGESTS = {"MD5": "md5", "SHA-512-256": "sha512_256", "SHA-256": "sha256"}
"""By their name in a challenge, the weakest first."""


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


class UnknownLoginError(SourceError):
    """The camera asks for a login in ways of which none is known here; the text names them."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way of logging in that a camera offers.

    Attributes:
        scheme: In lower case.
        fields: Its parameters, by names in lower case.
    """

    scheme: str
    fields: Mapping[str, str]

    @property
    def name(self) -> str:
        """What an error may say about it."""
        algorithm = self.fields.get("algorithm")
        return f"{self.scheme.capitalize()} ({algorithm})" if algorithm else self.scheme.capitalize()


def parse_challenges(values: Sequence[str]) -> list[Challenge]:
    """Return what the values of `WWW-Authenticate` offer; one value may hold several challenges (RFC 9110, 11.6.1)."""
    challenges: list[Challenge] = []
    for value in values:
        fields: dict[str, str] = {}
        for key, quoted, bare, scheme in _TOKEN.findall(value):
            if scheme:
                fields = {}
                challenges.append(Challenge(scheme.lower(), fields))
            elif challenges:
                fields.setdefault(key.lower(), _ESCAPED.sub(r"\1", quoted) if quoted else bare)
    return challenges


def answer_challenge(method: str, target: str, headers: Message, user: tuple[str, str]) -> str:
    """Answer the strongest challenge that is offered: digest (RFC 7616, without body), otherwise basic.

    Args:
        method: Of the request.
        target: Of the request, as it is sent.
        headers: Of the answer that refused it.
        user: Name and password.

    Raises:
        UnknownLoginError: Nothing is offered that can be answered; nothing is sent then.
    """
    offered = parse_challenges(headers.get_all("WWW-Authenticate", []))
    digests = [challenge for challenge in offered if _digest_of(challenge) is not None]
    if digests:
        strongest = max(digests, key=lambda challenge: list(_DIGESTS).index(_digest_of(challenge) or ""))
        return _answer_digest(method, target, strongest, user)
    if any(challenge.scheme == "basic" for challenge in offered):
        return "Basic " + base64.b64encode(":".join(user).encode()).decode()
    names = ", ".join(challenge.name for challenge in offered) or "nothing"
    raise UnknownLoginError(f"the camera offers no login that is known here (Digest, Basic): {names}")


def _digest_of(challenge: Challenge) -> str | None:
    """Return the name of the digest, if it can be answered."""
    name = challenge.fields.get("algorithm", "MD5").upper().removesuffix("-SESS")
    answers = {word.strip().lower() for word in (challenge.fields.get("qop") or "auth").split(",")}
    return name if challenge.scheme == "digest" and name in _DIGESTS and "auth" in answers else None


def _answer_digest(method: str, target: str, challenge: Challenge, user: tuple[str, str]) -> str:
    asked = challenge.fields
    algorithm, realm, nonce = (
        asked.get(key, other) for key, other in (("algorithm", "MD5"), ("realm", ""), ("nonce", ""))
    )
    name = _DIGESTS[_digest_of(challenge) or ""]

    def digest(*parts: str) -> str:
        return hashlib.new(name, ":".join(parts).encode(), usedforsecurity=False).hexdigest()

    once = os.urandom(8).hex()
    secret, what = digest(user[0], realm, user[1]), digest(method, target)
    in_session = algorithm.upper().endswith("-SESS")
    if in_session:
        secret = digest(secret, nonce, once)
    fields = {"username": user[0], "realm": realm, "nonce": nonce, "uri": target}
    more = f", algorithm={algorithm}" if "algorithm" in asked or asked.get("qop") else ""
    if "opaque" in asked:
        fields["opaque"] = asked["opaque"]
    if asked.get("qop"):
        fields["response"] = digest(secret, nonce, "00000001", once, "auth", what)
        more += f', qop=auth, nc=00000001, cnonce="{once}"'
    else:
        fields["response"] = digest(secret, nonce, what)
        more += f', cnonce="{once}"' if in_session else ""
    return "Digest " + ", ".join(f'{key}="{_quoted(value)}"' for key, value in fields.items()) + more


def _quoted(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"")
