"""dltool: a course's worth of deep learning, runnable from a shell.

Own Python, of files given by `--plugin` and packages of the entry-point group `dltool.plugins`, derives from:

    from dltool import ArrayTask, Dataset, Examples, GradientDescent, Objective, Procedure, Schedule, Task

Layers, losses, metrics, callbacks, constraints, initializers, optimizers and regularizers derive from Keras's classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dltool.data.base import Dataset, Examples
    from dltool.library.objectives._base import Objective
    from dltool.library.schedules._base import Schedule
    from dltool.tasks._arrays import ArrayTask
    from dltool.tasks.base import Task
    from dltool.training.procedures._procedure import Procedure
    from dltool.training.procedures.gradient_descent import GradientDescent

__version__ = "0.1.0"
__all__ = [
    "ArrayTask",
    "Dataset",
    "Examples",
    "GradientDescent",
    "Objective",
    "Procedure",
    "Schedule",
    "Task",
    "__version__",
]

_HOMES = {
    "ArrayTask": "dltool.tasks._arrays",
    "Dataset": "dltool.data.base",
    "Examples": "dltool.data.base",
    "GradientDescent": "dltool.training.procedures.gradient_descent",
    "Objective": "dltool.library.objectives._base",
    "Procedure": "dltool.training.procedures._procedure",
    "Schedule": "dltool.library.schedules._base",
    "Task": "dltool.tasks.base",
}


def __getattr__(name: str) -> Any:
    """Import a class when it is first asked for: a dataset needs no TensorFlow."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
