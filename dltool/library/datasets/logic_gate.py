"""Truth tables of two inputs: what one perceptron can compute, and what it cannot."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltool.data import arguments
from dltool.data.base import Dataset, Examples

GATES = {  # outputs for the inputs 00, 01, 10, 11
    "and": (0, 0, 0, 1),
    "or": (0, 1, 1, 1),
    "nand": (1, 1, 1, 0),
    "nor": (1, 0, 0, 0),
    "xor": (0, 1, 1, 0),
    "xnor": (1, 0, 0, 1),
}


class LogicGate(Dataset):
    """The four rows of a truth table: x float32 (4, 2) of 0 and 1, y int32 (4,), the gate's output.

    The rows are in the order 00, 01, 10, 11. The table is the whole of the problem, so the parts "train" and "test"
    both hold it.

    Args:
        gate: "and", "or", "nand", "nor", "xor" or "xnor". Defaults to "xor".
    Raises:
        ValueError: if there is no such gate.
    Limits: nothing is held out: the test accuracy says whether the gate was learned, not how well a net generalises.
    Reference: lecture slide 31; Minsky & Papert, 1969, Perceptrons.
    """

    def __init__(self, gate: str = "xor"):
        self.gate = arguments.choice("LogicGate", "gate", gate, GATES)

    def sizes(self) -> dict[str, int]:
        return {"train": 4, "test": 4}

    def facts(self) -> dict[str, Any]:
        return {"input_shape": (2,), "num_classes": 2, "class_names": ["0", "1"]}

    def labels(self, part: str) -> np.ndarray:
        arguments.stored("LogicGate", part, self.sizes())
        return np.array(GATES[self.gate], np.int32)

    def read(self, part: str) -> Examples:
        return Examples(np.array([(0, 0), (0, 1), (1, 0), (1, 1)], np.float32), self.labels(part))
