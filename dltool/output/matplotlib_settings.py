"""Matplotlib, loaded without the settings of the working folder; names of files are drawn literally."""

from __future__ import annotations

import os
import sys
from typing import Any

from dltool.errors.control_characters import visible


def load() -> None:
    """Import matplotlib so that a `matplotlibrc` in the working folder, which may be a stranger's, is not read.

    Such a file can have names typeset by LaTeX, which reads files and writes others. The user's own, in the
    configuration folder or in $MATPLOTLIBRC, still counts, but for LaTeX.
    """
    if "matplotlib" not in sys.modules:
        exists = os.path.exists

        def elsewhere(path: Any) -> bool:
            return path != "matplotlibrc" and exists(path)  # the name by which matplotlib asks for it

        os.path.exists = elsewhere
        try:
            import matplotlib  # noqa: F401
        finally:
            os.path.exists = exists
    sys.modules["matplotlib"].rcParams["text.usetex"] = False


def plain_label(text: str) -> str:
    """Return text that matplotlib draws literally: a "$" begins no formula, control characters are visible."""
    return visible(text).replace("$", r"\$")
