"""Text from files made harmless for a terminal: control characters become visible escapes such as \\x1b.

A terminal obeys what it is sent: escape sequences move its cursor, hide or replace what it shows, or answer as if the
user had typed; overrides of the writing direction show a name in another order than it has.
"""

from __future__ import annotations

import re

# C0, DEL and C1; direction marks and overrides; line separators; invisible characters; tags; lone surrogates.
# The joiners U+200C and U+200D stay: Persian, Hindi and emoji need them.
_CONTROLS = (
    r"\x00-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\U000e0000-\U000e007f\ud800-\udfff"
)
_ANY = re.compile(f"[{_CONTROLS}]")
_IN_LINES = re.compile(f"(?![\n\t])[{_CONTROLS}]")
_BETWEEN_STYLES = re.compile(rf"(\x1b\[[0-9;]*m)|(?![\n\t])[{_CONTROLS}]")


def visible(text: str) -> str:
    """Return one line of text with control characters, tabs and line ends escaped."""
    return _ANY.sub(_escape, text)


def visible_lines(text: str) -> str:
    """Return text of several lines with all control characters but tabs and line ends escaped."""
    return _IN_LINES.sub(_escape, text)


def visible_between_styles(text: str) -> str:
    """Return drawn text as `visible_lines` does, with dltool's own colours (SGR sequences) kept."""
    return _BETWEEN_STYLES.sub(lambda match: match[1] or _escape(match), text)


def visible_json(text: str) -> str:
    """Return JSON that stands for the same values, with the control characters that JSON allows in strings escaped."""
    return _IN_LINES.sub(lambda match: _json_escape(match[0]), text)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
