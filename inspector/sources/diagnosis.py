"""Why FFmpeg could not open a camera: FFmpeg does not report it, so the camera is asked once more."""

from __future__ import annotations

import socket
from email import message_from_string
from email.message import Message
from urllib.parse import SplitResult

from inspector.sources.login import UnknownLoginError, answer_challenge

PROBE_TIMEOUT_S = 1.0


def find_out_why(url: SplitResult, user: tuple[str, str] | None) -> str:
    """Connect to the camera, over RTSP ask for its stream as well, and return in words what is wrong.

    Args:
        url: Of the camera.
        user: User and password, if there are any.
    """
    port = url.port or {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}[url.scheme]
    try:
        with socket.create_connection((url.hostname or "", port), PROBE_TIMEOUT_S) as connection:
            if url.scheme != "rtsp":
                return "it answers, but sends no picture"
            connection.settimeout(PROBE_TIMEOUT_S)
            answer, headers = _describe(connection, url, "")
            if _status(answer) == "401" and user is not None:
                login = answer_challenge("DESCRIBE", url.geturl(), headers, user)
                answer, _ = _describe(connection, url, f"Authorization: {login}\r\n")
    except UnknownLoginError as exc:
        return str(exc)
    except TimeoutError:
        return "it does not answer"
    except (OSError, ValueError) as exc:  # ValueError: a name that no host can have
        return getattr(exc, "strerror", None) or str(exc)
    if _status(answer) == "401":
        return "it asks for a login (source.credentials_file)" if user is None else "the login was refused"
    if _status(answer) == "200":
        return "it answers, but sends no picture"
    return answer or "it closes the connection"


def _describe(connection: socket.socket, url: SplitResult, login: str) -> tuple[str, Message]:
    """Ask for the stream over RTSP; returns the first line of the answer and its headers."""
    ask = f"DESCRIBE {url.geturl()} RTSP/1.0\r\nCSeq: {2 if login else 1}\r\nAccept: application/sdp\r\n{login}\r\n"
    connection.sendall(ask.encode())
    answer = b""
    for _ in range(8):  # pieces: one that dribbles is not waited for
        if b"\r\n\r\n" in answer or not (data := connection.recv(4096)):
            break
        answer += data
    first, _, headers = answer.partition(b"\r\n\r\n")[0].decode("latin-1").partition("\r\n")
    return first[:200], message_from_string(headers)


def _status(answer: str) -> str:
    return "".join(answer.split(" ")[1:2])
