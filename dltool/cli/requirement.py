"""--require: a condition on a figure, and what happens when it is not met."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dltool.errors import UsageError, suggest

OPERATORS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "==": operator.eq}
REQUIREMENT = re.compile(r"\s*(mean\s*:)?\s*([A-Za-z_]\w*)\s*(>=|<=|==|>|<)\s*([-+0-9.eE]+|[-+]?inf)\s*")


@dataclass(frozen=True)
class Requirement:
    """A condition on a figure, such as accuracy>=0.97, or of several runs' mean alone, mean:accuracy>=0.97."""

    text: str
    figure: str
    operator: str
    bound: float
    of_mean: bool = False

    @classmethod
    def parse(cls, text: str, example: str = "accuracy>=0.97", with_mean: bool = False) -> Requirement:
        """Return the condition that --require states.

        Args:
            with_mean: whether the condition may be about the mean of several runs.
        Raises:
            UsageError: the text is no condition.
        """
        match = REQUIREMENT.fullmatch(text)
        try:
            if match is None or (match[1] and not with_mean):
                raise ValueError
            return cls(text.strip(), match[2], match[3], float(match[4]), bool(match[1]))
        except ValueError:
            raise UsageError(f"--require '{text}': write FIGURE OPERATOR NUMBER, such as {example}") from None

    def check_figure(self, figures: Sequence[str]) -> None:
        """Raise if there is no such figure."""
        if self.figure not in figures:
            near = suggest(self.figure, figures)
            message = f"no figure '{self.figure}'.{near} Figures: {', '.join(figures)}."
            raise UsageError(f"--require '{self.text}': {message}")

    def unmet(self, row: Mapping[str, Any], name: str) -> str | None:
        """Return why a row of figures does not meet the condition, None if it does.

        Args:
            name: of the run or model that the row is about.
        """
        value = row[self.figure]
        if value is None:
            return f"{name}: {self.text} is not met: {self.figure} could not be measured"
        if OPERATORS[self.operator](value, self.bound):
            return None
        return f"{name}: {self.text} is not met: {self.figure} is {value:.6g}"
