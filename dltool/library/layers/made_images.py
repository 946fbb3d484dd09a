"""Training images that a learned generator makes, in place of real ones of the same class."""

from __future__ import annotations

import json
import os
from typing import Any

import keras
from keras import ops

from dltool.data.arguments import real
from dltool.data.formats import saved_models
from dltool.errors import DataError
from dltool.library.layers._learned_file import learned_file

LEARNED_FROM = "source"  # read by recipe/declarations.py
FACTS = "data.json"  # of a run's data


@keras.saving.register_keras_serializable("dltool")
class MadeImages(keras.layers.Layer):
    """Puts made images of the same class in the place of some images of each training batch.

        x = G(z, class of x) with probability rate, z ~ N(0, 1), otherwise x

    G is the generator of a run by the procedure Adversarial that is told the class. It stands in data.augment alone, so
    the classifier is judged and used on real images.

    Args:
        source: the run directory, relative to the working directory.
        rate: the fraction of images that are replaced, in [0, 1]. Defaults to 0.5.
        seed: an int, or None for one of the run's.
    Input shape: (batch, ...), the images that the generator learned from; in `data.augment` only, before layers that
        mix examples.   Output shape: the same.
    Raises:
        FileNotFoundError: there is no such run.
        ValueError: its generator is told no class, or if `rate` is out of its range.
    Limits: the generator knows no more than its training images. If these are those of the classifier, made images
        can only smooth between them.
    Reference: lecture slide 117, augmentation "by learning a generator"; Antoniou et al., 2017, Data augmentation
        generative adversarial networks, arXiv:1711.04340.
    """

    def __init__(self, source: str | os.PathLike, rate: float = 0.5, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source, self.rate, self.seed = os.fspath(source), real("MadeImages", "rate", rate, 0), seed
        if self.rate > 1:
            raise ValueError(f"The 'rate' parameter of MadeImages must be a fraction in [0, 1]. Got {rate!r} instead.")
        file = learned_file(source)
        facts = json.loads(file.with_name(FACTS).read_bytes()) if file.with_name(FACTS).is_file() else {}
        if "noise" not in facts or not facts.get("num_classes"):
            raise ValueError(f"{source} is no run of a generator that is told the class (data.inputs.classes: true).")
        self.noise, self.classes = facts["noise"], facts["num_classes"]
        self.pixel_range = facts.get("pixel_range") or (0, 1)
        try:
            generator = saved_models.load(file, compile=False)
        except saved_models.RefusedModelError:
            raise
        except DataError as error:
            raise ValueError(str(error)) from error
        self.__dict__["generator"] = generator  # past Keras's tracking: it is no weight of the training
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Any) -> None:
        wanted = tuple(self.generator.output_shape[1:])
        if tuple(input_shape[1:]) != wanted:
            raise ValueError(f"{self.source} makes images of shape {wanted}, these have {tuple(input_shape[1:])}.")
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if training:
            raise ValueError("MadeImages needs the targets too: it stands in data.augment itself, not inside.")
        return inputs

    def remake(self, images: Any, targets: Any) -> Any:
        """Return a training batch with some images made.

        Args:
            images: float (batch, ...).
            targets: the class of each, an index or one-hot.
        """
        batch = ops.shape(images)[0]
        labels = ops.reshape(targets, (batch, -1))
        labels = ops.argmax(labels, -1) if labels.shape[-1] == self.classes else ops.cast(labels[:, 0], "int32")
        codes = keras.random.normal((batch, self.noise), dtype="float32", seed=self.seed_generator)
        codes = ops.concatenate([codes, ops.one_hot(labels, self.classes, dtype="float32")], axis=1)
        black, white = self.pixel_range
        made = ops.cast(self.generator(codes, training=False), images.dtype) * (white - black) + black
        chosen = keras.random.uniform((batch,), seed=self.seed_generator) < self.rate
        return ops.where(ops.reshape(chosen, (-1, *[1] * (len(images.shape) - 1))), made, images)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "source": self.source, "rate": self.rate, "seed": self.seed}
