"""Put the help of a command into its page: `<!-- help: train -->` becomes what `dltool train --help` prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

MARK = re.compile(r"^<!-- help: ([a-z -]+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return the page with the help of the commands that it marks."""
    return MARK.sub(lambda found: write_help(found[1]), markdown)


def write_help(command: str) -> str:
    """Return a section with the help of a command, or fail the build."""
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    asked = [sys.executable, "-m", "dltool", *command.split(), "--help"]
    done = subprocess.run(asked, capture_output=True, text=True, env=environment, check=True)
    lines = "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())
    return f"## dltool {command} --help\n\n```text\n{lines}\n```"
