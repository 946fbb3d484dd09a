"""Numbers: one or several an example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dltool.tasks._arrays import ArrayTask


class Regression(ArrayTask):
    """Each example has one or several numbers.

    Facts: `num_targets`.
    """

    targets = "numbers"
    takes = frozenset({"explain"})

    def recognises(self, facts: Mapping[str, Any]) -> bool:
        return "num_targets" in facts
