"""Classes: one an example, one of two, or several labels that hold or do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.errors import UsageError
from dltool.errors.control_characters import visible
from dltool.tasks import _class_maps
from dltool.tasks._arrays import ArrayTask
from dltool.tasks.base import Asked, Question
from dltool.training.outputs import outputs_problem

if TYPE_CHECKING:
    from dltool.tasks.base import Answer


class Classification(ArrayTask):
    """Examples, or their steps, belong to classes.

    Facts: `num_classes`; `class_names` where the classes have names.
    """

    targets = "classes"
    takes = frozenset({"top", "every", "explain", "map"})

    def recognises(self, facts: Mapping[str, Any]) -> bool:
        return "num_classes" in facts and "sequence_length" not in facts

    def problem_of_outputs(self, model: Any, facts: Mapping[str, Any]) -> str | None:
        return outputs_problem(model, facts.get("num_classes"))

    def check_asked(self, asked: Asked) -> None:
        super().check_asked(replace(asked, folder=None) if asked.map else asked)
        for name, option in (("top", "--top"), ("every", "--probabilities"), ("explain", "--explain")):
            if asked.map and getattr(asked, name) != getattr(Asked(), name):
                raise UsageError(f"{option}: means nothing with --map, which gives all classes. Leave it out.")

    def answerer(self, question: Question) -> Answer:
        return _class_maps.answerer(question) if question.asked.map else super().answerer(question)

    def words(self, targets: Any, facts: Mapping[str, Any]) -> list[str] | None:
        count = facts.get("num_classes")
        if not count:
            return None
        names = [visible(str(name)) for name in facts.get("class_names") or range(count)]
        targets = np.asarray(targets)
        indices = targets.reshape(len(targets), -1)
        indices = indices.argmax(axis=1) if indices.shape[1] > 1 else indices[:, 0]
        return [names[index] for index in indices.astype(int)]
