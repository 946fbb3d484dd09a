"""Parts of messages: an exception in one line, and the known name that a misspelt one was meant to be."""

from __future__ import annotations

import re
from collections.abc import Iterable

# what Keras, AutoGraph with the frames and all lines indented, and TensorFlow put before what an exception says
WRAPPED = re.compile(
    r"Exception encountered when calling .*?\n\n|Could not automatically infer .*?Error encountered:\n\n"
    r"|in user code:\n.*?\n {4}\w+: "
    r"|Graph execution error:\n(?:(?:Detected at node [^\n]*|  [^\n]*|)\n)*"
    r"|\d+ root error\(s\) found\.\n\s*\(\d+\)\s*(?:[A-Z_]+:)?\s*",
    re.DOTALL,
)


def one_line(error: BaseException) -> str:
    """Return what an exception says, in one line without terminal codes and tracebacks."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    while before := WRAPPED.match(text):
        text = re.sub(r"^ {4}", "", text[before.end() :], flags=re.MULTILINE)
    text = re.sub(r"\{\{function_node .*?\}\} ?|\s*\[\[\{\{node .*$|\[Op:\w+\].*$", "", text, flags=re.DOTALL)
    text = text.strip().split("\n\n")[0].split("Arguments received by")[0]
    text = re.sub(r"\s+", " ", text).strip()
    return text or type(error).__name__


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message without the full stop; its class if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def suggest(name: object, known: Iterable[str]) -> str:
    """Return the sentence " Did you mean 'x'?" if a known name is near, else nothing.

    Args:
        name: what was written; upper and lower case count as alike where nothing else is near.
        known: the names that are possible.
    """
    import difflib

    known, name = list(known), str(name)
    lowered = {other.lower(): other for other in known}
    if name.lower() in lowered:
        return f" Did you mean '{lowered[name.lower()]}'?"
    near = difflib.get_close_matches(name, known, n=1)
    near = near or [lowered[match] for match in difflib.get_close_matches(name.lower(), list(lowered), n=1)]
    return f" Did you mean '{near[0]}'?" if near else ""


def suggest_or_list(name: object, known: Iterable[str], heading: str = "Known") -> str:
    """Return `suggest`'s sentence, or all known names after a heading where no name is near."""
    known = list(known)
    return suggest(name, known) or f" {heading}: {', '.join(known) or 'none'}."
