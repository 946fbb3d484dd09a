"""A sheet of training images next to their augmentations, drawn as a recipe's training draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dltool.errors import UsageError
from dltool.recipe import build
from dltool.recipe.data import DEFAULT_BATCH_SIZE
from dltool.recipe.reading import Recipe
from dltool.runs import preparation
from dltool.tasks import base as tasks

NAMED = 0.005  # the least share of a target that is named


def augmentation_sheet(
    source: str, one: Recipe, examples: int, draws: int, device: str
) -> tuple[Any, list[dict[str, Any]]]:
    """Return a recipe's sheet of its first training images, uint8 (rows, columns, 3), and a row a draw.

    Args:
        source: the recipe, as messages name it.
        examples: how many are shown; they are mixed within a batch of the recipe's size.
        draws: augmentations of each.
    Raises:
        UsageError: there is nothing to augment, or the data are no images.
    """
    data = preparation.read_data(one, device)
    seed = preparation.begin(one)
    train = data.pipeline("train", max(examples, one.setting("fit", "batch_size", default=DEFAULT_BATCH_SIZE)))
    with data.explained():
        augment = build.augmentation(one, data.facts, train.inputs)
        if augment is None:
            raise UsageError(f"{source}: has no data.augment: training images stay unchanged.")
        if len(data.facts["input_shape"]) != 3:
            raise UsageError(f"{source}: its examples of shape {tuple(data.facts['input_shape'])} are no images.")
        x, y = next(train.batches(1, train.order(seed)))
    names = _names(y, data.facts)
    plain, pictures, targets, moved = _drawn(augment, x, y, names, draws)
    count = min(examples, len(names))
    rows = [
        {"image": n + 1, "class": names[n], "draw": k + 1, "targets": targets[k][n] or names[n],
         "mean_change": float(abs(pictures[k][n] - plain[n]).mean())}
        for n in range(count)
        for k in range(draws)
    ]  # fmt: skip
    from dltool.output.augmented_examples import augmented_sheet

    layers = ", ".join(type(layer).__name__ for layer in augment.layers)
    said = [[text.replace(" + ", "\n") for text in one_draw[:count]] for one_draw in targets]
    drawn = augmented_sheet(
        f"{one.name}: augmented training images", [layers], plain[:count], names[:count],
        [one_draw[:count] for one_draw in pictures], said, lambda one, y: data.task.drawn(one, y, data.facts), moved,
    )  # fmt: skip
    return drawn, rows


def _drawn(
    augment: Any, x: Any, y: Any, names: Sequence[str], draws: int
) -> tuple[Any, list[Any], list[list[str]], list[Any] | None]:
    """Return a batch at inference, then for each draw its images, and the targets of mixed examples, else "".

    Targets that move with their images come last: those of the batch, then those of each draw; None where none move.
    """
    import numpy as np
    import tensorflow as tf

    from dltool.training.augmentation import augmented_pair

    plain = np.asarray(augment(tf.cast(x, tf.float32), training=False), np.float32)
    pictures, targets = [], []
    moved = [np.asarray(y)] if hasattr(augment, "move") else None
    for _ in range(draws):
        changed, own, mixture = augmented_pair(augment, x, y)
        pictures.append(np.asarray(changed, np.float32))
        if moved is not None:
            moved.append(np.asarray(own))
        parts = [(np.asarray(share), np.asarray(index)) for share, index in mixture or ()]
        targets.append([_target([(share[n], names[index[n]]) for share, index in parts]) for n in range(len(names))])
    return plain, pictures, targets, moved


def _target(parts: Sequence[tuple[float, str]]) -> str:
    """Return shares of classes, the largest first: "0.73 of cat + 0.27 of dog"; "" where nothing is mixed."""
    shares: dict[str, float] = {}
    for share, name in parts:
        shares[name] = shares.get(name, 0.0) + float(share)
    told = sorted((item for item in shares.items() if item[1] >= NAMED), key=lambda item: -item[1])
    return " + ".join(f"{share:.2f} of {name}" for name, share in told)


def _names(y: Any, facts: Mapping[str, Any]) -> list[str]:
    """Return each example's class by name, or its target as a number; empty texts where it has neither."""
    import numpy as np

    if (words := tasks.of(facts).words(y, facts)) is not None:
        return words
    values = np.asarray(y).reshape(len(y), -1)
    return [f"{row[0]:g}" if len(row) == 1 else "" for row in values]
