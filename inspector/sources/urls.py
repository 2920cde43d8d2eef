"""A URL as it is shown to people, without secrets, and as it is sent."""

from __future__ import annotations

import string
from urllib.parse import SplitResult, quote

_URL_SAFE = string.punctuation.translate(str.maketrans("", "", '"<>'))


def shown_url(url: SplitResult) -> str:
    """Return the URL for people: a query may hold a password."""
    return url._replace(query="...", fragment="").geturl() if url.query else url.geturl()


def sent_url(url: SplitResult) -> SplitResult:
    """Percent-encode characters that a URL may not contain; existing escapes are kept."""
    return url._replace(path=quote(url.path, safe=_URL_SAFE), query=quote(url.query, safe=_URL_SAFE))
