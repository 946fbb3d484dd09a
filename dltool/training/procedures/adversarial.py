"""Adversarial training: a generator learns to make what a discriminator can't tell from the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dltool.data.arguments import boolean, choice, fraction
from dltool.data.pipelines.base import Step
from dltool.errors import messages
from dltool.library.losses._adversarial import GAMES
from dltool.training.cudnn import compute_in_float32
from dltool.training.fusion import fused_adam, fused_batch_normalization
from dltool.training.fusion.fusion import fuse
from dltool.training.procedures.gradient_descent import STEPS_A_CALL, GradientDescent
from dltool.training.scheduled_optimizer import reach, save_with_rate

MODEL_ARGUMENTS = ("discriminator",)
FIGURES = ("generator_loss", "discriminator_loss", "real_accuracy", "made_accuracy", "diversity")
TASK = "generation"


class Adversarial(GradientDescent):
    """A generator G, the recipe's model, against a discriminator D, which scores how real an image x looks:

        non_saturating   D: -(1 - e) log s(D(x)) - e log(1 - s(D(x))) - log(1 - s(D(G(z))))    G: -log s(D(G(z)))
        least_squares    D: (D(x) - 1 + e)^2 / 2 + D(G(z))^2 / 2                                G: (D(G(z)) - 1)^2 / 2
        hinge            D: max(0, 1 - D(x)) + max(0, 1 + D(G(z)))                              G: -D(G(z))

    as means over the batch; s is the sigmoid, e the label smoothing, z fresh noise N(0, 1). In each step D learns from
    a batch of images and as many made ones, then G from how D scores the same made ones.

        data: {dataset: Mnist, inputs: {noise: 64}}
        procedure:
          Adversarial:
            discriminator: [Flatten, {Dense: {units: 256, activation: leaky_relu}}, {Dense: 1}]
            optimizer: {Adam: {learning_rate: 2e-4, beta_1: 0.5}}

    With `inputs: {noise: 64, classes: true}` the generator is conditional: D then has one output a class and scores an
    image by the output of its class, a projection discriminator without bias.

    The history has both losses, the share of real and of made images that D takes for what they are, and the
    diversity: the variance of made pixels over that of real ones, near 1 for a good generator. compile.loss, such as
    SlicedWasserstein, judges only. A run keeps D in discriminator.keras.

    Args:
        discriminator: layers from an image to a score, or to a score for each class.
        optimizer: of the discriminator; compile.optimizer is the generator's.
        loss: non_saturating, least_squares or hinge.
        label_smoothing: e, a fraction in [0, 1); not for hinge.
        collapse: a fraction in [0, 1): the generator has collapsed when an epoch's diversity is below it and no higher
            than the epoch's before.
        end_on_collapse: whether training then ends; otherwise one line says so and training goes on.
    Raises:
        ValueError: an argument is out of range, or (in `prepare`) D does not fit the images or has other outputs, a
            loss is scaled (mixed_float16), or D's weights are averaged (use_ema).
    Limits: losses do not say how good the images are: see `dltool eval --judge`. A collapse onto some classes alone
        leaves the diversity high; the shares of classes there show it. D is kept as after its last epoch.
    Reference: Goodfellow et al., 2014, arXiv:1406.2661; Mao et al., 2017, Least squares GANs, arXiv:1611.04076; Miyato
        et al., 2018, Spectral normalization, arXiv:1802.05957 (hinge); Miyato & Koyama, 2018, cGANs with projection
        discriminator, arXiv:1802.05637; Salimans et al., 2016, arXiv:1606.03498, section 3.4 (label smoothing);
        lecture slides 117-118.
    """

    def __init__(
        self,
        discriminator: Sequence[Any],
        optimizer: Any,
        loss: str = "non_saturating",
        label_smoothing: float = 0.0,
        collapse: float = 0.1,
        end_on_collapse: bool = False,
    ) -> None:
        if not isinstance(discriminator, list | tuple) or not discriminator:
            message = "The 'discriminator' parameter of Adversarial must be a list of layers."
            raise ValueError(f"{message} Got {discriminator!r}.")
        self.layers, self.optimizer = list(discriminator), keras.optimizers.get(optimizer)
        self.game = GAMES[choice("Adversarial", "loss", loss, GAMES)]
        self.label_smoothing = fraction("Adversarial", "label_smoothing", label_smoothing)
        if self.label_smoothing and not self.game.smooths:
            raise ValueError(f"The 'label_smoothing' parameter of Adversarial means nothing to the loss {loss}.")
        self.collapse = fraction("Adversarial", "collapse", collapse)
        self.end_on_collapse = boolean("Adversarial", "end_on_collapse", end_on_collapse)
        self.classes, self._prepared = 0, None
        self.diversity = 0.0  # of the epoch before
        self._notes: set[str] = set()

    def check_task(self, task: str | None) -> None:
        if task not in (None, TASK):
            raise ValueError("learns to make images of noise. Set data.inputs to {noise: 64}")

    @property
    def further_models(self) -> Mapping[str, Any]:
        return {"discriminator": self.discriminator}

    def prepare(
        self,
        model: Any,
        steps_per_epoch: int = 1,
        load: Callable[[Path], Any] | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        """Build the discriminator for a compiled generator.

        Args:
            steps_per_epoch, load: not needed.
            class_names: of the data where the generator is conditional.
        Raises:
            ValueError: as the class; its attribute `wired` leads to the layer.
        """
        if self._prepared is model:
            return
        for optimizer in (model.optimizer, self.optimizer):
            if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
                raise ValueError("does not scale its losses. Set dtype_policy to float32 or mixed_bfloat16")
        if self.optimizer.use_ema:
            raise ValueError("averages of the discriminator's weights (use_ema) are of no use. Remove them")
        self.classes = len(class_names or ())
        self.discriminator = self._build(tuple(model.output_shape[1:]))
        self.discriminator.compile(self.optimizer)
        save_with_rate(self.optimizer)
        self.optimizer.build(self.discriminator.trainable_variables)
        self.models = (self.discriminator,)
        self.metrics = [keras.metrics.Mean(name=name) for name in FIGURES]
        self.noise = keras.random.SeedGenerator()
        self._prepared = model

    def figures(self) -> dict[str, float]:
        """Return the figures of the game in the epoch under way."""
        return {metric.name: float(metric.result()) for metric in self.metrics}

    def own_arrays(self) -> dict[str, np.ndarray]:
        held = {f"player/{index}": np.asarray(variable) for index, variable in enumerate(self._variables())}
        return {**super().own_arrays(), **held, "diversity": np.asarray(self.diversity)}

    def go_on(self, arrays: Mapping[str, np.ndarray]) -> None:
        super().go_on(arrays)
        self.diversity = float(arrays.get("diversity", 0.0))
        for index, variable in enumerate(self._variables()):
            if (array := arrays.get(f"player/{index}")) is None:
                continue
            if tuple(variable.shape) != array.shape:
                raise ValueError("the saved training state is of another discriminator")
            variable.assign(array)

    def _variables(self) -> list[Any]:
        return [*self.discriminator.variables, *self.optimizer.variables, self.noise.state]

    def _build(self, shape: tuple[int, ...]) -> Any:
        """Return the discriminator as a model of images of a shape."""
        images = x = keras.Input(shape)
        for index, layer in enumerate(self.layers):
            try:
                x = layer(x)
            except Exception as error:  # whatever a layer raises is about its place in the list
                error.wired = ["discriminator", index, *getattr(error, "wired", [])]  # type: ignore[attr-defined]
                raise
        outputs = self.classes or 1
        if tuple(x.shape) != (None, outputs):
            wanted = f"{outputs} outputs, one for each class" if self.classes else "1 output"
            problem = ValueError(f"the discriminator gives {tuple(x.shape)[1:]}: end it with a Dense of {wanted}")
            problem.wired = ["discriminator", len(self.layers) - 1]  # type: ignore[attr-defined]
            raise problem
        return keras.Model(images, x, name="discriminator")

    def _begin_fit(self, model: Any, steps_per_epoch: int, epochs: int) -> None:
        self.prepare(model)

    def _renew(self) -> None:
        jit_compile = self._execution[1]
        if not jit_compile:
            fuse(self.model)
            fused_adam.fuse(self.optimizer)
            fused_batch_normalization.fuse(self.discriminator)
        self._step = self._make_step(jit_compile)
        self.evaluation.renew()

    def _advance(self, at_most: int) -> float:
        reach(self.optimizer, STEPS_A_CALL)
        value = super()._advance(at_most)
        if self.position.step == self.steps and np.isfinite(value):
            self._look_at(self.figures())
        return value

    def _look_at(self, figures: Mapping[str, float]) -> None:
        """Say in a line, once, that the generator makes no different images, or that it learns nothing any more."""
        epoch, before = f"epoch {self.position.epoch + 1}", self.diversity
        self.diversity = figures["diversity"]
        if self.diversity < self.collapse and self.diversity <= before:
            ends = " Training ends." if self.end_on_collapse else ""
            varies = f"its pixels vary {self.diversity:.2g} times as much as the data's."
            self._note("collapse", f"{epoch}: the generator has collapsed: {varies}{ends}")
            if self.end_on_collapse:
                self.model.stop_training = True
        elif min(figures["real_accuracy"], figures["made_accuracy"]) > 0.999:
            self._note(
                "separated", f"{epoch}: the discriminator tells all made images from real ones: it is too strong."
            )

    def _note(self, kind: str, line: str) -> None:
        if kind not in self._notes:
            messages.say(line)
            self._notes.add(kind)

    def _make_step(self, jit_compile: bool) -> Step:
        """Return a step of a pipeline's compiled loop: step(x, y) -> a number that is finite while all is well."""
        compute_in_float32()
        generator, discriminator, game = self.model, self.discriminator, self.game

        def play(x: Any, real: Any) -> dict[str, Any]:
            labels = x[:, x.shape[-1] - self.classes :]  # (batch, classes), one-hot
            x = tf.concat([keras.random.normal(tf.shape(x[:, : -self.classes or None]), seed=self.noise), labels], 1)
            scores = self._scorer(labels)
            with tf.GradientTape() as of_generator:
                made = generator(x, training=True)
                with tf.GradientTape() as of_discriminator:
                    of_real, of_made = scores(real), scores(tf.stop_gradient(made))
                    lost = game.discriminator(of_real, of_made, self.label_smoothing)
                    total = _penalised(lost, discriminator)
                weights = discriminator.trainable_variables
                self.optimizer.apply(of_discriminator.gradient(total, weights), weights)
                fooled = game.generator(scores(made))
                total = _penalised(fooled, generator)
            weights = generator.trainable_variables
            generator.optimizer.apply(of_generator.gradient(total, weights), weights)
            spread = [tf.reduce_sum(tf.math.reduce_variance(tf.cast(one, tf.float32), axis=0)) for one in (made, real)]
            told = [tf.cast(one, tf.float32) for one in (of_real > game.boundary, of_made <= game.boundary)]
            values = (fooled, lost, *map(tf.reduce_mean, told), tf.math.divide_no_nan(*spread))
            return dict(zip(FIGURES, values, strict=True))

        compiled = tf.function(play, jit_compile=True) if jit_compile else play

        def step(x: Any, y: Any) -> tf.Tensor:
            figures = compiled(x, y)
            for metric in self.metrics:
                metric.update_state(figures[metric.name], sample_weight=tf.shape(y)[0])
            return tf.add_n([tf.cast(metric.result(), tf.float32) for metric in self.metrics])

        return step

    def _scorer(self, labels: Any) -> Callable[[Any], Any]:
        """Return a function from images to the discriminator's scores, float32 (batch,), given their classes."""

        def scores(images: Any) -> Any:
            found = tf.cast(self.discriminator(images, training=True), tf.float32)  # (batch, classes or 1)
            return tf.reduce_sum(found * tf.cast(labels, tf.float32), 1) if self.classes else found[:, 0]

        return scores


def _penalised(loss: Any, model: Any) -> Any:
    """Return a loss with the penalties of a model's weights."""
    return tf.add_n([loss, *(tf.reduce_sum(tf.cast(one, loss.dtype)) for one in model.losses)])
