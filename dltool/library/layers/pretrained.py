"""A net that has learned already, as a layer of another."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from dltool.data.formats import saved_models
from dltool.errors import DataError
from dltool.graph.cut import cut
from dltool.library.layers._learned_file import WEIGHTS, learned_file
from dltool.library.layers._wiring import Composite, apply, checked

LEARNED_FROM = "source"  # read by recipe/declarations.py


def Pretrained(  # noqa: N802 - a recipe's word, as a layer's
    source: str | os.PathLike,
    up_to: str | None = None,
    without_top: int | None = None,
    trainable: bool = True,
    layers: Sequence[Any] | None = None,
    name: str | None = None,
) -> Any:
    """A trained model with its weights, its head cut off, to put new layers behind: y = f_k(...f_1(x)).

    The result is a model inside the model, whose layers keep their names (globs match "base/conv2d" or "conv2d") and
    which is saved with it, so that the trained model no longer needs the source. Its own preprocessing layers, with
    what
    they were adapted to, belong to it: feed it what it was trained on, raw.

    Args:
        source: a run directory, a .keras file, or a .weights.h5 file, relative to the working directory.
        up_to: the last layer kept, by name, or by path inside nested models ("base/dense_2").
        without_top: layers with weights to leave out, counted from the output backwards, each with all that follows
            it. Defaults to 1, the classifier, unless `up_to` is given; 0 keeps everything.
        trainable: whether its layers learn. If not, their weights stay unchanged, and batch normalisation uses its
            moving averages also in training (Keras's `trainable = False`).
        layers: for a .weights.h5 file, which holds no layers: the saved model's layers, in their order; later ones
            may be left out.
        name: of the model inside. Defaults to the source's own.
    Input shape: the source's.   Output shape: that of the last layer kept.
    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it cannot be read or cut, or arguments contradict each other.
    Limits: layers compute in the precision they were trained in, whatever the dtype policy is now; the source's input
        size is kept. Features of the last layers are of the source's task: slide 116 advises to retrain more of
        them if the tasks differ more.
    Reference: Yosinski et al., 2014, How transferable are features in deep neural networks?; lecture slide 116.
    """
    path = learned_file(source)
    if without_top is not None and (type(without_top) is not int or without_top < 0):
        raise ValueError(f"'without_top' must be an int >= 0. Got {without_top!r}.")
    if up_to is not None and without_top is not None:
        raise ValueError("'up_to' and 'without_top' both say where to cut: give one.")
    if path.name.endswith(WEIGHTS):
        if layers is None or up_to is not None or without_top is not None:
            raise ValueError(f"{path} holds weights alone: give the 'layers' they are of, and nothing else to cut.")
        return _Weights(path, checked("Pretrained", "layers", layers), trainable, name)
    if layers is not None:
        raise ValueError(f"{path} has its own layers: remove 'layers'.")
    try:
        whole = saved_models.load(path, compile=False)
    except saved_models.RefusedModelError:
        raise
    except DataError as error:
        raise ValueError(str(error)) from error
    base = cut(whole, up_to, 1 if without_top is None and up_to is None else without_top or 0, name)
    return learned(base, trainable)


def learned(base: Any, trainable: bool = True) -> Any:
    """Return the model with its weights marked as learned. Measurements that redraw weights keep these."""
    base.trainable = trainable
    for weight in base.weights:
        weight.learned = True
    return base


class _Weights(Composite):
    """Layers whose weights are in a file."""

    def __init__(self, path: Path, layers: list[Any], trainable: bool, name: str | None) -> None:
        self.path, self.layers, self.trainable, self.name = path, layers, trainable, name

    def __call__(self, x: Any) -> Any:
        inputs = keras.Input(x.shape[1:], dtype=x.dtype)
        base = keras.Model(inputs, apply(self.layers, inputs, "layers"), name=self.name or "pretrained")
        try:
            saved_models.check_hdf5(self.path)
            base.load_weights(self.path)
        except saved_models.RefusedModelError:
            raise
        except Exception as error:  # h5py and Keras raise many kinds
            raise ValueError(f"{self.path} can't be loaded into these layers: {error}") from error
        return learned(base, self.trainable)(x)

    def copy(self) -> Composite:
        raise ValueError("a copy of pre-trained layers would have none of what they have learned: don't repeat them.")
