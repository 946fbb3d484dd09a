"""Fill pages in: `<!-- help: train -->` becomes the help of a command, `<!-- systems -->` a table of the recipes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RECIPES = Path(__file__).parent.parent / "recipes"
SYSTEMS = "<!-- systems -->"
MARK = re.compile(r"^<!-- help: ([a-z -]+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return the page with the help of commands and the table of recipes in place of their marks."""
    if SYSTEMS in markdown:
        markdown = markdown.replace(SYSTEMS, write_systems())
    return MARK.sub(lambda found: write_help(found[1]), markdown)


def write_systems() -> str:
    """Return a table of the recipes that name a slide, in the order of the slides."""
    rows: list[tuple[int, str, str]] = []
    for path in RECIPES.glob("*/*.yaml"):
        header = dict(read_header(path))
        if slide := re.match(r"[\d, -]*\d", header.get("Slide", "")):
            name = f"`{path.parent.name}/{path.stem}`"
            figure = re.split(r"(?<=\.) (?=[A-Z])", header.get("Expect", ""))[0]
            first = int(re.split(r"[^\d]", slide[0])[0])
            rows.append((first, name, f"| {slide[0]} | {name} | {header['']} | {figure} |"))
    lines = ["| slide | recipe | system | figure |", "| --- | --- | --- | --- |", *(row for *_, row in sorted(rows))]
    return "\n".join(lines)


def read_header(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the words of a recipe's header with what follows them; "" is its first sentence."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    entries: list[list[str]] = [["", lines[0]]]
    for line in lines[1:]:
        if found := re.match(r"([A-Z][a-z]+): +(.*)", line):
            entries.append([found[1], found[2]])
        elif line.startswith("   ") or (len(entries) == 1 and line):
            entries[-1][1] += f" {line.strip()}"
    for word, text in entries:
        yield word, text.replace("|", "\\|")


def write_help(command: str) -> str:
    """Return a section with the help of a command, or fail the build."""
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    asked = [sys.executable, "-m", "dltool", *command.split(), "--help"]
    done = subprocess.run(asked, capture_output=True, text=True, env=environment, check=True)
    lines = "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())
    return f"## dltool {command} --help\n\n```text\n{lines}\n```"
