"""python -m dltool."""

import os
import sys

# `python -m` looks for modules in the working folder first: a typer.py or keras.py there, which may be a stranger's,
# would run. The folder that dltool itself comes from stays.
_HOME = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120 - pathlib may be a stranger's too
if sys.path and not sys.flags.safe_path and os.path.realpath(sys.path[0]) != _HOME:
    del sys.path[0]

from dltool.cli import main  # noqa: E402

if __name__ == "__main__":
    main()
