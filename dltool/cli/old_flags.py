"""Flags of dltool 0.1 that have become commands of their own; they go with the next release."""

from __future__ import annotations

from collections.abc import Sequence

from dltool.errors import messages

FLAG, VALUE = "flag", "value"  # a flag is dropped; a flag's value becomes the last argument
COMMANDS = {  # command and flag -> the new command, and how the flag is given to it
    ("lr-schedule", "--find"): ("lr-find", FLAG),
    ("init-stats", "--check-gradients"): ("check-gradients", FLAG),
    ("init-stats", "--lsuv"): ("lsuv", "--out"),
    ("generate", "--score"): ("score", VALUE),
}


def replace(arguments: Sequence[str]) -> list[str]:
    """Return arguments, the command's name first, with a new command in place of an old flag; a note names it."""
    command, *rest = arguments
    for index, argument in enumerate(rest):
        if argument == "--":
            break
        flag, sign, value = argument.partition("=")
        if (command, flag) not in COMMANDS:
            continue
        new, way = COMMANDS[command, flag]
        messages.say(f"note: '{command} {flag}' is now the command '{new}'; the flag goes with the next release.")
        before, after = rest[:index], rest[index + 1 :]
        if way == VALUE:
            value, after = (value, after) if sign else ("".join(after[:1]), after[1:])
            return [new, *before, *after, value]
        return [new, *before, *([] if way == FLAG else [f"{way}{sign}{value}"]), *after]
    return [*arguments]
