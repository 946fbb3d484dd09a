"""--require: a condition on a figure, and what happens when it is not met."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dltool.errors import UsageError
from dltool.recipe import suggest

OPERATORS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "==": operator.eq}
REQUIREMENT = re.compile(r"\s*([A-Za-z_]\w*)\s*(>=|<=|==|>|<)\s*([-+0-9.eE]+|[-+]?inf)\s*")


@dataclass(frozen=True)
class Requirement:
    """A condition on a figure, such as accuracy>=0.97."""

    text: str
    figure: str
    operator: str
    bound: float

    @classmethod
    def parse(cls, text: str, example: str = "accuracy>=0.97") -> Requirement:
        """What --require says.

        Raises:
            UsageError: it is no such condition.
        """
        match = REQUIREMENT.fullmatch(text)
        try:
            if match is None:
                raise ValueError
            return cls(text.strip(), match[1], match[2], float(match[3]))
        except ValueError:
            raise UsageError(f"--require '{text}': write FIGURE OPERATOR NUMBER, such as {example}") from None

    def check_figure(self, figures: Sequence[str]) -> None:
        """Raise if there is no such figure."""
        if self.figure not in figures:
            near = suggest(self.figure, figures)
            message = f"no figure '{self.figure}'.{near} Figures: {', '.join(figures)}."
            raise UsageError(f"--require '{self.text}': {message}")

    def unmet(self, row: Mapping[str, Any], name: str) -> str | None:
        """What is wrong with a row of figures, None if nothing is.

        Args:
            name: of the run or model that the row is about.
        """
        value = row[self.figure]
        if value is None:
            return f"{name}: {self.text} is not met: {self.figure} could not be measured"
        if OPERATORS[self.operator](value, self.bound):
            return None
        return f"{name}: {self.text} is not met: {self.figure} is {value:.6g}"
