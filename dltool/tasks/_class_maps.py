"""Class probabilities at each position of larger pictures: a classifier slides over them as a net of convolutions."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.errors import DataError, UsageError, messages
from dltool.output.ownership import listed
from dltool.tasks import _answers
from dltool.tasks._picture_names import PictureNames

if TYPE_CHECKING:
    import pandas as pd

    from dltool.graph.sliding import Sliding
    from dltool.tasks.base import Answer, Asked, Question


@dataclass(frozen=True)
class ClassMap:
    """The probabilities of one picture.

    Args:
        scores: float32 (positions down, positions across, classes).
        names: of the classes.
        window: (rows, columns) of the crop that each position stands for.
        stride: pixels between positions, (down, across).
    """

    scores: np.ndarray
    names: Sequence[str]
    window: tuple[int, int]
    stride: tuple[int, int]

    def middle(self, axis: int, position: float) -> float:
        """Return the middle of a position's crop in pixels, of rows (axis 0) or columns (1)."""
        return position * self.stride[axis] + (self.window[axis] - 1) / 2


def answerer(question: Question) -> Answer:
    """Return a function of pictures, all of one size, that gives for each the likeliest class anywhere and its place.

    With a folder it writes NAME.npz, the map as arrays, and NAME.png, its picture.

    Raises:
        UsageError: several runs answer.
        ValueError: the model does not slide.
    """
    from dltool.graph.sliding import slide

    if len(question.models) > 1:
        raise UsageError("--map: takes one run. Name one.")
    sliding = slide(question.models[0])
    if sliding.padded:
        messages.say(
            f"--map: {listed(sliding.padded)} {'pads' if len(sliding.padded) == 1 else 'pad'} crops with zeros, where "
            "the map reads the picture: it differs a little from answers to crops."
        )
    ask = _probabilities(question, sliding)
    files = None if question.asked.folder is None else _MapFiles(question.asked, question.asked.folder)

    def answer(x: Any, places: Sequence[Any]) -> pd.DataFrame:
        import pandas as pd

        _check_size(x, places, sliding.window)
        rows = []
        for picture, place in zip(np.asarray(x), places, strict=True):
            found = ask(picture)
            down, across, best = np.unravel_index(int(found.scores.argmax()), found.scores.shape)
            row: dict[str, Any] = {"prediction": found.names[best], "probability": found.scores[down, across, best]}
            row |= {"row": found.middle(0, float(down)), "column": found.middle(1, float(across))}
            rows.append(row | ({} if files is None else {"map": files.write(place, picture, found)}))
        return pd.DataFrame(rows)

    return answer


def _probabilities(question: Question, sliding: Sliding) -> Any:
    """Return a function of one picture (rows, columns, channels) that gives its `ClassMap`."""
    import tensorflow as tf

    model, facts = question.models[0], question.facts

    @tf.function(reduce_retracing=True, autograph=False)
    def forward(x: Any) -> Any:
        return tf.cast(sliding.model(x, training=False), tf.float32)

    def ask(picture: np.ndarray) -> ClassMap:
        outputs = np.asarray(forward(tf.constant(picture[None], model.inputs[0].dtype)))[0]
        evaluated = _answers.without_targets(outputs.reshape(-1, outputs.shape[-1]), model, facts, "")
        scores = evaluated.scores if evaluated.label_scores is None else evaluated.label_scores
        if scores is None:
            raise UsageError("--map: is for classes, and the model gives numbers. Leave it out.")
        names = _answers.class_names(evaluated, scores.shape[-1])
        shaped = scores.reshape(*outputs.shape[:2], -1).astype(np.float32)
        return ClassMap(shaped, names, sliding.window, sliding.stride)

    return ask


def _check_size(x: Any, places: Sequence[Any], window: tuple[int, int]) -> None:
    """Raise `DataError` if pictures are smaller than the crops that the classifier knows."""
    rows, columns = x.shape[1:3]
    if rows < window[0] or columns < window[1]:
        raise DataError(
            f"{places[0]}: is {rows} x {columns} pixels, and the run was trained on {window[0]} x {window[1]}. "
            "Give larger ones, or leave out --map."
        )


class _MapFiles:
    """Writes maps into a folder, each under a name that no other picture of the command has."""

    def __init__(self, asked: Asked, folder: Path) -> None:
        self.names = PictureNames(folder, asked.overwrite, asked.written)

    def write(self, place: Any, picture: np.ndarray, found: ClassMap) -> str:
        """Return the path of the arrays, which are written with their picture.

        Raises:
            UsageError: a file is there that may not be replaced.
        """
        from dltool.output.plots.class_maps import plot_class_map

        arrays, drawn = self.names.free(place, (".npz", ".png"))
        content, pixels = io.BytesIO(), io.BytesIO()
        np.savez(content, probabilities=found.scores, window=found.window, stride=found.stride)
        plot_class_map(picture, found.scores, found.names, found.middle, pixels)
        self.names.write(drawn, pixels.getvalue())
        self.names.write(arrays, content.getvalue())
        return str(arrays)
