"""Augmentation in training: mixed targets against soft labels worked by NumPy, and what recipes may say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.data.base import Examples
from dltool.data.pipelines.in_memory import DeviceArrays, InMemory
from dltool.errors import RecipeError
from dltool.init_stats.passes import Passes
from dltool.library.applications._committee import CommitteeModel, MeanProbability
from dltool.library.layers.cut_mix import CutMix
from dltool.library.layers.mix_up import MixUp
from dltool.recipe import catalogue
from dltool.runs import preparation
from dltool.training.augmentation import augmented, check_loss, sharing
from dltool.training.procedures.gradient_descent import GradientDescent, training_step

BATCH, FEATURES, CLASSES = 12, 5, 4
X = np.random.default_rng(0).normal(size=(BATCH, FEATURES)).astype(np.float32)
Y = np.random.default_rng(1).integers(CLASSES, size=BATCH).astype(np.int32)
CLASS_WEIGHT = np.array([1.0, 2.0, 0.5, 3.0], np.float32)


def mixers(*seeds: int) -> keras.Sequential:
    return keras.Sequential([keras.Input((FEATURES,)), *(MixUp(alpha=1.0, seed=seed) for seed in seeds)])


def mixed_by_numpy(augment: keras.Sequential) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and soft labels, (batch, classes), of what the augmentation will draw at its first call."""
    x, labels = X, np.eye(CLASSES, dtype=np.float32)[Y]
    for layer in augment.layers:
        _, partners, shares = MixUp.from_config(layer.get_config()).mix(tf.constant(x))
        own, partners = np.asarray(shares)[:, None], np.asarray(partners)
        x, labels = own * x + (1 - own) * x[partners], own * labels + (1 - own) * labels[partners]
    return x, labels


def classifier(loss: Any = None, learning_rate: float = 0.1) -> keras.Model:
    keras.utils.set_random_seed(3)
    dense = keras.layers.Dense(CLASSES, kernel_regularizer=keras.regularizers.L2(0.1))
    model = keras.Sequential([keras.Input((FEATURES,)), dense])
    model.compile(
        keras.optimizers.SGD(learning_rate),
        loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"] if loss is None else [],
        jit_compile=False,
    )
    model.optimizer.build(model.trainable_variables)
    return model


def soft_loss(model: keras.Model, x: np.ndarray, labels: np.ndarray) -> tf.Tensor:
    return tf.reduce_mean(-tf.reduce_sum(labels * tf.nn.log_softmax(model(x)), axis=-1)) + tf.add_n(model.losses)


@pytest.mark.parametrize(
    ("seeds", "class_weight", "jit_compile"),
    [((1,), None, False), ((1, 2), CLASS_WEIGHT, False), ((1,), CLASS_WEIGHT, True)],
    ids=["mixed", "mixed-twice-weighted", "xla"],
)
def test_a_step_on_mixed_examples_is_one_on_soft_labels(
    seeds: tuple[int, ...], class_weight: np.ndarray | None, jit_compile: bool
) -> None:
    augment, model = mixers(*seeds), classifier()
    x, labels = mixed_by_numpy(augment)
    with tf.GradientTape() as tape:
        expected = soft_loss(model, x, labels if class_weight is None else labels * class_weight)
    slopes = tape.gradient(expected, [weight.value for weight in model.trainable_variables])
    wanted = [np.asarray(w) - 0.1 * np.asarray(g) for w, g in zip(model.trainable_variables, slopes, strict=True)]
    step = tf.function(training_step(model, augment, class_weight, jit_compile))
    loss = step(tf.constant(X), tf.constant(Y))
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    for weight, value in zip(model.trainable_variables, wanted, strict=True):
        np.testing.assert_allclose(weight, value, atol=1e-6)
    assert "compute_loss" not in vars(model)


def test_training_accuracy_counts_the_target_of_the_larger_share() -> None:
    augment, model = mixers(5), classifier(learning_rate=0.0)
    x, partners, shares = MixUp.from_config(augment.layers[0].get_config()).mix(tf.constant(X))
    larger = np.where(np.asarray(shares) >= 0.5, Y, Y[np.asarray(partners)])
    expected = np.mean(np.argmax(model(x), axis=1) == larger)
    assert np.any(larger != Y)
    training_step(model, augment, None, False)(tf.constant(X), tf.constant(Y))
    assert float(model.get_metrics_result()["accuracy"]) == pytest.approx(expected)


def test_for_squared_errors_the_step_is_that_of_blended_targets() -> None:
    targets = np.random.default_rng(2).normal(size=(BATCH, CLASSES)).astype(np.float32)
    augment, model, twin = mixers(4), classifier("mse"), classifier("mse")
    x, partners, shares = MixUp.from_config(augment.layers[0].get_config()).mix(tf.constant(X))
    own = np.asarray(shares)[:, None]
    twin.train_on_batch(np.asarray(x), own * targets + (1 - own) * targets[np.asarray(partners)])
    training_step(model, augment, None, False)(tf.constant(X), tf.constant(targets))
    for ours, theirs in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_members_of_a_committee_learn_from_the_mixed_targets_each() -> None:
    inputs = keras.Input((FEATURES,))
    members = [keras.layers.Dense(CLASSES)(inputs) for _ in range(2)]
    model = CommitteeModel(inputs, [MeanProbability()(members), *members])
    model.compile(keras.optimizers.SGD(0.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    augment = mixers(6)
    x, labels = mixed_by_numpy(augment)
    expected = sum(-np.sum(labels * tf.nn.log_softmax(one), axis=1).mean() for one in model(x, training=True)[1:])
    loss = training_step(model, augment, None, False)(tf.constant(X), tf.constant(Y))
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


def test_a_recorded_pass_has_the_loss_of_mixed_targets() -> None:
    augment, model = mixers(7), classifier()
    expected = soft_loss(model, *mixed_by_numpy(augment))
    found = Passes(model, augment, compiled=True).run(tf.constant(X), tf.constant(Y))
    assert found.loss == pytest.approx(float(expected), rel=1e-5)


def test_the_model_has_its_own_loss_again_even_that_of_a_procedure() -> None:
    model = classifier()
    own = model.compute_loss

    def taught(*arguments: Any, **keywords: Any) -> Any:
        return 2 * own(*arguments, **keywords)

    model.compute_loss = taught
    augment = mixers(1)
    x, labels = mixed_by_numpy(augment)
    loss = training_step(model, augment, None, False)(tf.constant(X), tf.constant(Y))
    assert float(loss) == pytest.approx(2 * float(soft_loss(classifier(), x, labels)), rel=1e-5)
    assert model.compute_loss is taught
    _, mixture = augmented(augment, X)
    with pytest.raises(KeyError), sharing(model, mixture, Y, None):
        raise KeyError
    assert model.compute_loss is taught


def test_training_goes_on_from_a_state_as_if_it_had_not_stopped() -> None:
    train = InMemory(DeviceArrays(Examples(X, Y)), None, 5)

    def fit(epochs: int, state: Any = None) -> tuple[Any, GradientDescent]:
        model, procedure = classifier(), GradientDescent()
        model.compute_metrics(X[:2], Y[:2], model(X[:2]), None)
        model.reset_metrics()
        procedure.fit(model, train, epochs=epochs, augment=mixers(8, 9), state=state)
        return model, procedure

    unbroken, _ = fit(3)
    _, stopped = fit(1)
    resumed, procedure = fit(3, stopped.state())
    assert len(procedure.history) == 3
    for ours, theirs in zip(resumed.get_weights(), unbroken.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_other_layers_augment_before_and_after() -> None:
    layers = [keras.layers.Rescaling(2.0), MixUp(alpha=1.0, seed=1), keras.layers.Rescaling(1.0, offset=5.0)]
    augment = keras.Sequential([keras.Input((FEATURES,)), *layers])
    x, mixture = augmented(augment, X)
    assert mixture is not None
    blend = sum(np.asarray(share)[:, None] * X[np.asarray(index)] for share, index in mixture)
    np.testing.assert_allclose(x, 2 * blend + 5, atol=1e-5)
    np.testing.assert_allclose(sum(np.asarray(share) for share, _ in mixture), 1, atol=1e-6)


RECIPE = """\
data:
  dataset: Digits
  validation_split: 0.5
  augment:
    - Rescaling: 0.0625
    - PCAColor: {value_range: [0, 1]}
    - Cutout: 3
    - MixUp
    - CutMix: {rate: 0.5}
model:
  - Flatten
  - Dense: ${data.num_classes}
compile:
  optimizer: adam
  loss: {SparseCategoricalCrossentropy: {from_logits: true}}
fit: {batch_size: 32}
"""


def prepared(folder: Path, text: str = RECIPE) -> Any:
    path = folder / "r.yaml"
    path.write_text(text)
    return preparation.prepare(str(path), device="cpu")


def test_colours_are_of_the_training_split_as_the_layers_before_make_it(tmp_path: Path) -> None:
    ready = prepared(tmp_path)
    pixels = np.concatenate([np.asarray(x) for x, _ in ready.train.batches()]) / 16
    assert len(pixels) < 800  # not the validation split's
    (component,) = np.asarray(ready.augment.layers[1].components).ravel()
    assert abs(component) == pytest.approx(pixels.var(), rel=1e-4)


def test_what_mixes_is_dltools_own() -> None:
    assert catalogue.find("layers", "MixUp") is MixUp
    assert catalogue.find("layers", "CutMix") is CutMix


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  - Flatten\n", "  - MixUp\n  - Flatten\n", r"r.yaml:11:5: model\[0\].MixUp: mixes examples and their"),
        ("from_logits: true", "reduction: sum, from_logits: true", r"r.yaml:8:7: data.augment\[3\].*averaged over"),
        ("CutMix: {rate: 0.5}", "CutMix: {rate: 2}", r"r.yaml:9:.*'rate' parameter of CutMix must be in \[0, 1\]"),
    ],
)
def test_what_cannot_be_mixed_is_said_at_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in RECIPE
    with pytest.raises(RecipeError, match=message):
        prepared(tmp_path, RECIPE.replace(old, new))


def test_losses_that_are_averages_may_be_mixed() -> None:
    check_loss("mse")
    check_loss({"a": keras.losses.Huber(), "b": keras.losses.MeanSquaredError(reduction="mean_with_sample_weight")})
