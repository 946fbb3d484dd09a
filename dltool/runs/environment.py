"""The environment of a training: versions, command line, device, seed, git commit."""

from __future__ import annotations

import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from dltool import __version__
from dltool.runs import git_commit


def describe(device: str, seed: int) -> dict[str, Any]:
    """The present process, as environment.json keeps it for each session of a run."""
    import keras
    import numpy
    import tensorflow as tf

    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "host": {"system": platform.platform(), "cpus": os.cpu_count(), "gpus": _gpu_names()},
        "device": device,
        "seed": seed,
        "versions": {
            "dltool": __version__,
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": numpy.__version__,
        },
        "git_commit": git_commit.commit(Path.cwd()),
    }


def _gpu_names() -> list[str]:
    import tensorflow as tf

    gpus = tf.config.get_visible_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
