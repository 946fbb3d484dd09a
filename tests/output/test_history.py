"""The picture of a training: which points a line joins."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from dltool.output.history import plot_history


def test_a_line_ends_with_its_stage_of_pre_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconstructions of two layers are two lines; the learning rate and the loss are one each."""
    drawn: dict[str, Any] = {}
    plot = Axes.plot

    def watched(self: Axes, x: Any, y: Any, **options: Any) -> Any:
        drawn[f"{len(drawn)}"] = (x, y)
        return plot(self, x, y, **options)

    monkeypatch.setattr(Axes, "plot", watched)
    rows = [{"epoch": n, "stage": stage, "learning_rate": 0.1} for n, stage in ((1, 1), (2, 1), (3, 2), (4, 3), (5, 3))]
    rows = [row | ({"reconstruction": 9.0 - row["epoch"]} if row["stage"] < 3 else {"loss": 1.0}) for row in rows]
    file = io.BytesIO()
    plot_history(rows, file, "run")
    assert file.getvalue().startswith(b"\x89PNG")
    reconstruction, loss, rate = drawn.values()
    np.testing.assert_array_equal(reconstruction, [[1, 2, 3, 3], [8, 7, np.nan, 6]])
    assert loss == ((4, 5), (1.0, 1.0)) and rate[0] == (1, 2, 3, 4, 5)
