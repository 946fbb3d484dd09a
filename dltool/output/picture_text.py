"""Text from files in matplotlib's pictures: names stay names."""

from __future__ import annotations

from dltool.errors.control_characters import visible


def plain_label(text: str) -> str:
    """Return text that matplotlib draws literally: a "$" begins no formula, control characters are visible."""
    return visible(text).replace("$", r"\$")
