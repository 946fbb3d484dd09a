"""Classes: one an example, one of two, or several labels that hold or do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dltool.errors.control_characters import visible
from dltool.tasks._arrays import ArrayTask
from dltool.training.outputs import outputs_problem


class Classification(ArrayTask):
    """Examples, or their steps, belong to classes.

    Facts: `num_classes`; `class_names` where the classes have names.
    """

    targets = "classes"
    takes = frozenset({"top", "every", "explain"})

    def recognises(self, facts: Mapping[str, Any]) -> bool:
        return "num_classes" in facts and "sequence_length" not in facts

    def problem_of_outputs(self, model: Any, facts: Mapping[str, Any]) -> str | None:
        return outputs_problem(model, facts.get("num_classes"))

    def words(self, targets: Any, facts: Mapping[str, Any]) -> list[str] | None:
        count = facts.get("num_classes")
        if not count:
            return None
        names = [visible(str(name)) for name in facts.get("class_names") or range(count)]
        targets = np.asarray(targets)
        indices = targets.reshape(len(targets), -1)
        indices = indices.argmax(axis=1) if indices.shape[1] > 1 else indices[:, 0]
        return [names[index] for index in indices.astype(int)]
