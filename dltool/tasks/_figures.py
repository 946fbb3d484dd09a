"""Figures of classes and of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dltool.tasks._outputs import Evaluated

if TYPE_CHECKING:
    import pandas as pd


def of_classes(one: Evaluated) -> tuple[dict[str, float], pd.DataFrame, pd.DataFrame]:
    """Return macro averages, figures a class, and the confusion matrix (rows: truth).

    Macro averages are over the classes that occur, as truth or as prediction, as scikit-learn's are by default.
    """
    import pandas as pd
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    names = one.names
    labels = list(range(len(names)))
    true, predicted = one.labels(), one.predicted()
    scores = precision_recall_fscore_support(true, predicted, labels=labels, zero_division=0)
    precision, recall, f1, support = scores
    present = np.isin(labels, np.concatenate([true, predicted]))
    summary = {
        "macro_precision": float(precision[present].mean()),
        "macro_recall": float(recall[present].mean()),
        "macro_f1": float(f1[present].mean()),
    }
    columns = {"class": list(names), "precision": precision, "recall": recall, "f1": f1, "examples": support}
    matrix = pd.DataFrame(confusion_matrix(true, predicted, labels=labels), columns=list(names))
    matrix.insert(0, "class", list(names), allow_duplicates=True)
    return summary, pd.DataFrame(columns), matrix


def of_numbers(one: Evaluated) -> dict[str, float]:
    """Return mean absolute error and root mean squared error over all outputs, and the mean R2 of the outputs."""
    from sklearn.metrics import r2_score

    true, predicted = one.targets, one.outputs
    if one.mask is not None and true.shape[: one.mask.ndim] == one.mask.shape:
        true, predicted = true[one.mask], predicted[one.mask]
    true = true.reshape(len(true), -1).astype(float)
    predicted = predicted.reshape(len(predicted), -1).astype(float)
    if true.shape != predicted.shape:
        return {}
    return {
        "mae": float(np.abs(true - predicted).mean()),
        "rmse": float(np.sqrt(np.square(true - predicted).mean())),
        "r2": float(r2_score(true, predicted)) if len(true) > 1 else float("nan"),
    }
