"""Figures against counts in NumPy: the same at every batch size, tokens where tokens are counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax
from sklearn.metrics import jaccard_score

from dltool.data.base import Examples
from dltool.data.pipelines.base import Pipeline
from dltool.data.pipelines.bucketed import Bucketed, DevicePairs
from dltool.data.pipelines.in_memory import DeviceArrays, InMemory
from dltool.data.pipelines.windows import Windows
from dltool.data.token_pairs import Pairs, Ragged
from dltool.library.metrics.perplexity import Perplexity
from dltool.library.metrics.token_accuracy import TokenAccuracy
from dltool.tasks._outputs import average, evaluate
from dltool.training.counting import count
from dltool.training.evaluation import Evaluation
from dltool.training.procedures.gradient_descent import GradientDescent
from tests.test_recipes import example_table

SIZES = (1, 7, 512)
EXAMPLES, TIMES, CLASSES, VOCABULARY = 23, 6, 4, 11
GENERATOR = np.random.default_rng(4)


def sequences(dtype: str = "int32") -> np.ndarray:
    """Tokens 1 to 10 with 1 to 6 of them in a row, then padding."""
    tokens = GENERATOR.integers(1, VOCABULARY, (EXAMPLES, TIMES))
    lengths = GENERATOR.integers(1, TIMES + 1, EXAMPLES)
    return np.where(np.arange(TIMES) < lengths[:, None], tokens, 0).astype(dtype)


SEQUENCES = sequences()
LABELS = GENERATOR.integers(CLASSES, size=(EXAMPLES, TIMES)).astype("int32")
IMAGES = GENERATOR.normal(size=(EXAMPLES, 5, 5, 1)).astype("float32")
KINDS = GENERATOR.integers(CLASSES, size=EXAMPLES).astype("int32")
NUMBERS = GENERATOR.normal(size=(EXAMPLES, 3)).astype("float32")


def crossentropy(reduction: str = "sum_over_batch_size") -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)


def labeller(loss: Any = None, activity: float = 0.0, units: int = CLASSES, **compiled: Any) -> keras.Model:
    """Masked tokens, a class each."""
    keras.utils.set_random_seed(1)
    regularizer = keras.regularizers.L2(activity) if activity else None
    model = keras.Sequential(
        [
            keras.Input((TIMES,), dtype="int32"),
            keras.layers.Embedding(VOCABULARY, 5, mask_zero=True),
            keras.layers.Dense(units, activity_regularizer=regularizer),
        ]
    )
    compiled.setdefault("metrics", ["accuracy", TokenAccuracy(), Perplexity(from_logits=True)])
    model.compile(keras.optimizers.SGD(0.0), loss or crossentropy(), jit_compile=False, **compiled)
    return model


def nats(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return -np.take_along_axis(log_softmax(logits.astype(float), axis=-1), labels[..., None], axis=-1)[..., 0]


def in_memory(x: Any, y: Any) -> Callable[[int], Pipeline]:
    return lambda size: InMemory(DeviceArrays(Examples(x, y)), None, size)


def of_masked() -> tuple[keras.Model, Callable[[int], Pipeline], dict[str, float]]:
    model = labeller()
    held, logits = SEQUENCES > 0, model.predict(SEQUENCES, verbose=0)
    each, right = nats(logits, LABELS)[held], (logits.argmax(-1) == LABELS)[held]
    figures = {"loss": each.mean(), "perplexity": np.exp(each.mean())}
    return model, in_memory(SEQUENCES, LABELS), figures | dict.fromkeys(("accuracy", "token_accuracy"), right.mean())


def of_images() -> tuple[keras.Model, Callable[[int], Pipeline], dict[str, float]]:
    keras.utils.set_random_seed(2)
    layers = [keras.Input((5, 5, 1)), keras.layers.Flatten(), keras.layers.Dense(CLASSES)]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(0.0), crossentropy(), metrics=["accuracy"], jit_compile=False)
    logits = model.predict(IMAGES, verbose=0)
    figures = {"loss": nats(logits, KINDS).mean(), "accuracy": (logits.argmax(-1) == KINDS).mean()}
    return model, in_memory(IMAGES, KINDS), figures


def of_table() -> tuple[keras.Model, Callable[[int], Pipeline], dict[str, float]]:
    keras.utils.set_random_seed(3)
    inputs = {name: keras.Input((1,), name=name) for name in ("a", "b", "c")}
    joined = keras.layers.Concatenate()(list(inputs.values()))
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(joined))
    model.compile(keras.optimizers.SGD(0.0), "binary_crossentropy", metrics=["accuracy"], jit_compile=False)
    x = {name: NUMBERS[:, i : i + 1] for i, name in enumerate(inputs)}
    y, p = (KINDS > 1).astype("int32"), model.predict(x, verbose=0)[:, 0].astype(float)
    figures = {"loss": -np.where(y, np.log(p), np.log(1 - p)).mean(), "accuracy": ((p > 0.5) == y).mean()}
    return model, in_memory(x, y), figures


def of_regression() -> tuple[keras.Model, Callable[[int], Pipeline], dict[str, float]]:
    keras.utils.set_random_seed(4)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, kernel_regularizer=keras.regularizers.L2(0.1))])
    metrics = ["mae", keras.metrics.RootMeanSquaredError(name="rmse")]
    model.compile(keras.optimizers.SGD(0.0), "mean_squared_error", metrics=metrics, jit_compile=False)
    y = GENERATOR.normal(size=(EXAMPLES, 2)).astype("float32")
    error = (model.predict(NUMBERS, verbose=0) - y).astype(float)
    penalty = 0.1 * np.square(model.get_weights()[0]).sum()
    figures = {"loss": np.square(error).mean() + penalty, "mae": np.abs(error).mean()}
    return model, in_memory(NUMBERS, y), figures | {"rmse": np.sqrt(np.square(error).mean())}


def of_text() -> tuple[keras.Model, Callable[[int], Pipeline], dict[str, float]]:
    """100 tokens to predict in windows of 7: the last window has 2."""
    keras.utils.set_random_seed(5)
    inputs = keras.Input((None,), dtype="int32")
    model = keras.Model(inputs, keras.layers.Dense(VOCABULARY)(keras.layers.Embedding(VOCABULARY, 3)(inputs)))
    metrics = ["accuracy", TokenAccuracy(), Perplexity(from_logits=True)]
    model.compile(keras.optimizers.SGD(0.0), crossentropy(), metrics=metrics, jit_compile=False)
    text = GENERATOR.integers(VOCABULARY, size=101).astype("int32")
    logits = np.asarray(model(text[None, :-1]))[0]
    each, right = nats(logits, text[1:]), logits.argmax(-1) == text[1:]
    figures = {"loss": each.mean(), "perplexity": np.exp(each.mean())}
    figures |= dict.fromkeys(("accuracy", "token_accuracy"), right.mean())
    return model, lambda size: Windows(tf.constant(text), 7, size), figures


def of_translation() -> tuple[keras.Model, Callable[[int], Pipeline], dict[str, float]]:
    from dltool.recipe import catalogue

    keras.utils.set_random_seed(6)
    model = catalogue.find("applications", "Seq2Seq")(
        source_vocabulary_size=VOCABULARY, target_vocabulary_size=VOCABULARY, encoder=[keras.layers.GRU(4)],
        decoder=keras.layers.GRU(4), attention=None, embedding_size=4,
    )  # fmt: skip
    metrics = ["accuracy", TokenAccuracy(), Perplexity(from_logits=True)]
    model.compile(keras.optimizers.SGD(0.0), crossentropy(), metrics=metrics, jit_compile=False)
    lengths = GENERATOR.integers(1, 8, EXAMPLES)
    sides = [[[2, *GENERATOR.integers(4, VOCABULARY, n), 3] for n in lengths] for _ in range(2)]
    pairs = Pairs(*(Ragged.of([list(map(int, one)) for one in side]) for side in sides))
    each, right = [], []
    for source, target in zip(*sides, strict=True):  # one at a time: nothing is padded
        x = {"source": np.array([source], np.int32), "target": np.array([target[:-1]], np.int32)}
        logits, following = np.asarray(model(x))[0], np.array(target[1:])
        each += nats(logits, following).tolist()
        right += (logits.argmax(-1) == following).tolist()
    figures = {"loss": np.mean(each), "perplexity": np.exp(np.mean(each))}
    figures |= dict.fromkeys(("accuracy", "token_accuracy"), np.mean(right))
    return model, lambda size: Bucketed(DevicePairs(pairs), None, size), figures


def of_outputs() -> tuple[keras.Model, Callable[[int], Pipeline], dict[str, float]]:
    """A class for each token that is not masked, and numbers of the whole, with a penalty."""
    keras.utils.set_random_seed(7)
    inputs = {"tokens": keras.Input((TIMES,), dtype="int32", name="tokens"), "more": keras.Input((3,), name="more")}
    embedded = keras.layers.Embedding(VOCABULARY, 5, mask_zero=True)(inputs["tokens"])
    tags = keras.layers.Dense(CLASSES, name="tags")(embedded)
    amount = keras.layers.Dense(2, name="amount", kernel_regularizer=keras.regularizers.L2(0.1))(inputs["more"])
    model = keras.Model(inputs, {"tags": tags, "amount": amount})
    losses = {"tags": crossentropy(), "amount": "mean_squared_error"}
    metrics, weights = {"amount": ["mae"]}, {"tags": 0.25, "amount": 2.0}
    model.compile(keras.optimizers.SGD(0.0), losses, weights, metrics=metrics, jit_compile=False)
    x, y = {"tokens": SEQUENCES, "more": NUMBERS}, {"tags": LABELS, "amount": NUMBERS[:, :2] + 1}
    given = {name: np.asarray(value) for name, value in model(x).items()}
    each, error = nats(given["tags"], LABELS)[SEQUENCES > 0], (given["amount"] - y["amount"]).astype(float)
    figures = {"tags_loss": each.mean(), "amount_loss": np.square(error).mean(), "amount_mae": np.abs(error).mean()}
    penalty = 0.1 * np.square(np.asarray(model.get_layer("amount").kernel)).sum()
    figures["loss"] = 0.25 * figures["tags_loss"] + 2 * figures["amount_loss"] + penalty
    return model, in_memory(x, y), figures


TASKS = [of_images, of_outputs, of_table, of_regression, of_masked, of_text, of_translation]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.__name__.removeprefix("of_"))
def test_figures_are_counts_in_numpy_at_every_batch_size(task: Any) -> None:
    model, pipeline, expected = task()
    evaluation = Evaluation(model)
    for size in SIZES:
        figures = evaluation.run(pipeline(size))
        assert list(figures) == list(dict.fromkeys(["loss", *figures]))
        assert figures == pytest.approx(expected, rel=2e-5), size


@pytest.mark.parametrize("size", SIZES)
def test_outputs_that_are_kept_have_the_same_figures_as_alone(size: int) -> None:
    model, pipeline, expected = of_masked()
    kept = evaluate(model, pipeline(size), "run", "test")
    assert kept.figures == pytest.approx(expected, rel=2e-5)
    assert kept.mask is not None and (kept.mask == (SEQUENCES > 0)).all()
    assert average([kept, kept]).figures == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize("size", SIZES)
def test_history_of_a_training_counts_tokens_and_weights_too(size: int) -> None:
    """At a rate of 0: loss = sum of w * nats / tokens, weighted accuracy = sum of w * right / sum of w."""
    model = labeller(weighted_metrics=["accuracy"])
    held, logits = SEQUENCES > 0, model.predict(SEQUENCES, verbose=0)
    weights = np.array([0.5, 1, 2, 4], np.float32)
    pipeline = in_memory(SEQUENCES, LABELS)(size)
    count(model)
    x, y = next(pipeline.batches(1))
    model.compute_loss(x, y, model(x))
    model.compute_metrics(x, y, model(x))
    model.optimizer.build(model.trainable_variables)
    (row,) = GradientDescent().fit(model, pipeline, epochs=1, class_weight=weights)
    each, right, weight = nats(logits, LABELS)[held], (logits.argmax(-1) == LABELS)[held], weights[LABELS][held]
    assert row["loss"] == pytest.approx((weight * each).mean(), rel=2e-5)
    assert row["accuracy"] == pytest.approx(right.mean(), rel=1e-6)
    assert row["weighted_accuracy"] == pytest.approx((weight * right).sum() / weight.sum(), rel=1e-5)


@pytest.mark.parametrize("reduction", ["sum", "mean_with_sample_weight", "none"])
def test_other_reductions_do_not_depend_on_the_batch_size_either(reduction: str) -> None:
    model = labeller(crossentropy(reduction), metrics=[])
    each = nats(model.predict(SEQUENCES, verbose=0), LABELS)[SEQUENCES > 0]
    expected = each.sum() if reduction == "sum" else each.mean()
    evaluation = Evaluation(model)
    for size in SIZES:
        assert evaluation.run(in_memory(SEQUENCES, LABELS)(size))["loss"] == pytest.approx(expected, rel=2e-5), size


@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size"])
def test_penalties_of_activities_weigh_examples_beside_a_loss_of_tokens(reduction: str) -> None:
    """Keras divides them by the examples of a batch, padding included in their sum."""
    model = labeller(crossentropy(reduction), activity=0.01, metrics=[])
    logits = model.predict(SEQUENCES, verbose=0)
    each = nats(logits, LABELS)[SEQUENCES > 0]
    expected = (each.sum() if reduction == "sum" else each.mean()) + 0.01 * np.square(logits).sum() / EXAMPLES
    evaluation = Evaluation(model)
    for size in SIZES:
        assert evaluation.run(in_memory(SEQUENCES, LABELS)(size))["loss"] == pytest.approx(expected, rel=2e-5), size


def test_other_metrics_leave_padding_out_too() -> None:
    """One sigmoid unit a token: precision and F1 of what is no padding."""
    from sklearn.metrics import f1_score, precision_score, roc_auc_score

    metrics = [keras.metrics.Precision(name="p"), keras.metrics.F1Score(threshold=0.5, name="f"), "AUC"]
    model = labeller(keras.losses.BinaryCrossentropy(), units=1, metrics=metrics)
    model.layers[-1].activation = keras.activations.sigmoid
    held, y = SEQUENCES > 0, (LABELS > 1).astype("int32")
    p = model.predict(SEQUENCES, verbose=0)[..., 0][held]
    evaluation = Evaluation(model)
    for size in SIZES:
        figures = evaluation.run(in_memory(SEQUENCES, y[..., None])(size))
        assert figures["p"] == pytest.approx(precision_score(y[held], p > 0.5), rel=1e-5)
        assert figures["f"] == pytest.approx(f1_score(y[held], p > 0.5), rel=1e-5)
        assert figures["AUC"] == pytest.approx(roc_auc_score(y[held], p), abs=0.01)  # Keras's has 200 thresholds


def test_metrics_leave_out_the_class_that_the_loss_ignores() -> None:
    void = CLASSES
    y = np.random.default_rng(1).integers(CLASSES + 1, size=(EXAMPLES, 5, 5)).astype("int32")
    model = keras.Sequential([keras.layers.Conv2D(CLASSES, 1)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=void)
    metrics = ["accuracy", keras.metrics.MeanIoU(CLASSES, name="iou", sparse_y_pred=False)]
    model.compile(loss=loss, metrics=metrics, weighted_metrics=["sparse_top_k_categorical_accuracy"])
    outputs = np.asarray(model(IMAGES))[y < void]
    true, predicted = y[y < void], outputs.argmax(axis=-1)
    expected = {
        "accuracy": np.mean(predicted == true),
        "iou": jaccard_score(true, predicted, average="macro"),
        "sparse_top_k_categorical_accuracy": 1.0,  # the 5 first of 4 classes; void would be none of them
    }
    for size in (7, EXAMPLES):
        found = Evaluation(model).run(InMemory(DeviceArrays(Examples(IMAGES, y)), None, size))
        assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5)


def test_counting_leaves_what_is_saved_as_it_was(tmp_path: Any) -> None:
    model = labeller()
    plain = Evaluation(model).run(in_memory(SEQUENCES, LABELS)(512))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(SEQUENCES, LABELS, batch_size=512, verbose=0)[0] == pytest.approx(plain["loss"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["augmentation/mix-up", "classics/linear-regression", "cnn/digits", "lstm/digits", "mlp/digits",
     "sequences/adding-lstm", "sequences/copy-lstm", "seq2seq/number-words",
     "tabular/csv-example"],
)  # fmt: skip
def test_bundled_recipes_have_the_same_figures_at_every_batch_size(
    name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After two steps, on the test split, or the training split where there is no other; metrics.json says so too."""
    from dltool.recipe import build
    from dltool.recipe.data import Data
    from dltool.runs import train

    monkeypatch.chdir(tmp_path)
    (tmp_path / "diabetes.csv").write_text(example_table())
    recipe = build.load(name, ["fit.epochs=1", "fit.steps_per_epoch=2"])
    run = train.train(recipe, out=tmp_path / "run")
    data = Data.of(recipe, build.dataset(recipe.section("data", "dataset")))
    model, split = run.run.load_model(), "test" if "test" in data.splits else "train"
    evaluation = Evaluation(model)
    expected = run.metrics[split]
    for size in SIZES:
        assert evaluation.run(data.pipeline(split, size)) == pytest.approx(expected, rel=1e-4), size
        if data.task.name != "translation":
            kept = evaluate(model, data.pipeline(split, size), "run", split, data.facts.get("features"))
            assert kept.figures == pytest.approx(expected, rel=1e-4), size
