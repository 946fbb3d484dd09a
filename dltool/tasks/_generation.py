"""Made images and how near they come to the data's: Frechet distance in a classifier's features, shares of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from dltool.tasks.base import Split

CODE = "draw_codes"  # method of a layer after which a decoder begins
AT_ONCE = 500  # images
SEED = 144  # of the codes and of the examples that figures are computed from


@dataclass(frozen=True)
class Generator:
    """What makes images of codes z ~ N(0, 1): an adversarial generator, or the decoder of a variational autoencoder.

    Args:
        model: from codes, and classes one-hot after them, to images.
        units: numbers of a code.
        classes: how many classes it is told, 0 for none.
        class_names: of these.
        are_logits: whether the model gives logits of pixels.
    """

    model: Any
    units: int
    classes: int = 0
    class_names: Sequence[str] = ()
    are_logits: bool = False

    @classmethod
    def find(cls, model: Any, facts: Mapping[str, Any]) -> Generator | None:
        """Return the generator in a run's model, None where there is none.

        Args:
            facts: of the run's data.
        """
        if "noise" in facts:
            count = facts.get("num_classes") or 0
            names = [str(name) for name in facts.get("class_names") or range(count)]
            return cls(model, facts["noise"], count, names)
        return _decoder(model)

    def draw_codes(self, count: int, seed: int) -> np.ndarray:
        """Return codes, float32 (count, units)."""
        return np.random.default_rng(seed).standard_normal((count, self.units), np.float32)

    def make(self, codes: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Return images, float32 (n, ...), pixels in [0, 1].

        Args:
            codes: (n, units).
            labels: the class of each, int (n,); None: each in turn, for a generator that is told classes.
        """
        if self.classes:
            labels = np.arange(len(codes)) % self.classes if labels is None else labels
            codes = np.concatenate([codes, np.eye(self.classes, dtype=np.float32)[labels]], axis=1)
        made = [np.asarray(self._forward(codes[start : start + AT_ONCE])) for start in range(0, len(codes), AT_ONCE)]
        return np.concatenate(made)

    @cached_property
    def _forward(self) -> Any:
        import tensorflow as tf

        @tf.function(reduce_retracing=True, autograph=False)
        def forward(codes: Any) -> Any:
            images = tf.cast(self.model(codes, training=False), tf.float32)
            return tf.clip_by_value(tf.sigmoid(images) if self.are_logits else images, 0.0, 1.0)

        return forward


def _decoder(model: Any) -> Generator | None:
    """Return the layers after a model's last layer of codes as a generator."""
    import keras

    from dltool.graph.calls import Unrolled
    from dltool.graph.keras_internals import graph_of, inner_layers
    from dltool.training.outputs import BINARY, cross_entropy

    if not any(hasattr(layer, CODE) for layer in inner_layers(model)):
        return None
    call = [call for call in Unrolled(model).steps if hasattr(call.layer, CODE)][-1]
    graph: Any = graph_of(model)
    decoder = keras.Model(call.node.outputs[0], graph.outputs[0])
    read = cross_entropy(model)
    are_logits = read is not None and read.targets == BINARY and read.from_logits
    return Generator(decoder, call.layer.units, are_logits=are_logits)


@dataclass(frozen=True)
class Judge:
    """A trained classifier of the same images, in whose features made images and real ones are compared.

    Args:
        name: the run's path.
        model: the classifier; its features are the inputs of its last layer with weights.
        pixel_range: black and white in its inputs, None: 0 and 1.
        class_names: of its outputs.
    """

    name: str
    model: Any
    pixel_range: tuple[float, float] | None
    class_names: Sequence[str]

    def look(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return features, float64 (n, features), and the likeliest class, int (n,).

        Args:
            images: (n, ...), pixels in [0, 1].
        """
        found = [self._forward(images[start : start + AT_ONCE]) for start in range(0, len(images), AT_ONCE)]
        features, classes = (np.concatenate([np.asarray(one[part]) for one in found]) for part in (0, 1))
        return features.astype(np.float64), classes

    @cached_property
    def _forward(self) -> Any:
        import tensorflow as tf

        from dltool.graph.calls import Unrolled

        unrolled = Unrolled(self.model)
        last = [call for call in unrolled.steps if getattr(call.layer, "weights", None)][-1]
        places = [last.takes[0], unrolled.output]
        black, white = self.pixel_range or (0.0, 1.0)

        @tf.function(reduce_retracing=True, autograph=False)
        def forward(images: Any) -> Any:
            features, outputs = unrolled.run(tf.cast(images, tf.float32) * (white - black) + black, places)
            return tf.reshape(features, [tf.shape(features)[0], -1]), tf.argmax(outputs, axis=-1)

        return forward


def compute_frechet_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return |m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2)) of the means and covariances of two sets of features.

    Args:
        one, other: float (n, features), n > 1.
    Reference: Heusel et al., 2017, GANs trained by a two time-scale update rule, arXiv:1706.08500, eq. 6; Dowson &
        Landau, 1982, The Frechet distance between multivariate normal distributions.
    """
    means = [features.mean(axis=0) for features in (one, other)]
    covariances = [np.atleast_2d(np.cov(features, rowvar=False)) for features in (one, other)]
    values, vectors = np.linalg.eigh(covariances[0])
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    common = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ covariances[1] @ root), 0)).sum()
    total = np.trace(covariances[0]) + np.trace(covariances[1])
    return max(float(np.sum((means[0] - means[1]) ** 2) + total - 2 * common), 0.0)


def judge_made(generator: Generator, split: Split) -> tuple[dict[str, float], dict[str, pd.DataFrame]]:
    """Return figures and a table of as many made images as a split has.

    Figures: `frechet_distance` of made images to the split's; `frechet_floor`, of as many real images of another split;
    `frechet_ratio`, their quotient; `smallest_share` and `largest_share` of a class among made images. Table: `shares`.
    """
    import pandas as pd

    judge: Judge = split.judge
    others = [name for name in ("train", "test", "validation") if name in split.data.splits and name != split.name]
    if not others:
        raise UsageError("--judge: the data have one split only, and real images of another are the yardstick.")
    count = min(split.data.splits[name].size for name in (split.name, others[0]))
    real, other = (_images(split, name, count) for name in (split.name, others[0]))
    made = generator.make(generator.draw_codes(count, SEED))
    (features, of_real), (of_other, _), (of_made, classes) = (judge.look(images) for images in (real, other, made))
    distance, floor = (compute_frechet_distance(one, features) for one in (of_made, of_other))
    number = len(judge.class_names)
    shares = [np.bincount(labels, minlength=number)[:number] / count for labels in (classes, of_real)]
    figures = {"frechet_distance": distance, "frechet_floor": floor, "frechet_ratio": distance / max(floor, 1e-12)}
    figures |= {"smallest_share": float(shares[0].min()), "largest_share": float(shares[0].max())}
    table = {"class": list(judge.class_names), "made": shares[0], "real": shares[1]}
    return figures, {"shares": pd.DataFrame(table)}


def _images(split: Split, name: str, count: int) -> np.ndarray:
    """Return examples of one of the data's splits, drawn without repetition, float32 (count, ...) in [0, 1]."""
    pipeline = split.data.pipeline(name, split.batch_size)
    order, found = np.random.default_rng(SEED).permutation(pipeline.size), 0
    images: list[np.ndarray] = []
    for _, y in pipeline.batches(order=order):
        images.append(np.asarray(y, np.float32))
        found += len(images[-1])
        if found >= count:
            break
    return np.concatenate(images)[:count]
