"""Matplotlib, loaded without the settings of the working folder."""

from __future__ import annotations

import os
import sys
from typing import Any


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
