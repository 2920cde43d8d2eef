"""Builds HTML in which every text is escaped unless it is markup already."""

from __future__ import annotations

from html import escape

_VOID = frozenset({"img", "link", "meta"})


class Html(str):
    """Markup that may be sent as it is; any other `str` is text."""

    __slots__ = ()


def el(tag: str, /, *children: str | None, **attributes: str | float | None) -> Html:
    """Return an element.

    Args:
        tag: Name of the element.
        children: `Html` stays, other text is escaped, None is left out.
        attributes: `class_` means `class`, `http_equiv` means `http-equiv`; None is left out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if tag in _VOID:
        return Html(f"<{tag}{written}>")
    inner = "".join(child if isinstance(child, Html) else escape(child) for child in children if child is not None)
    return Html(f"<{tag}{written}>{inner}</{tag}>")
