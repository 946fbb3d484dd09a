"""Answers with and without targets have the same columns, whatever the loss and the last activation say of outputs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from scipy.special import expit, softmax

from dltool.data.tokenizers.characters import Characters
from dltool.errors import UsageError
from dltool.tasks import _answers, _outputs, base
from dltool.tasks._outputs import Evaluated
from dltool.tasks.base import Asked, Question

GIVEN = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
STEPS = np.random.default_rng(1).normal(size=(6, 2, 3)).astype("float32")
BCE = keras.losses.BinaryCrossentropy(from_logits=True)
SCE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def passes_on(loss: Any, activation: str = "linear", shape: tuple[int, ...] = (3,)) -> Any:
    """A compiled model that gives what it is given."""
    model = keras.Sequential([keras.Input(shape), keras.layers.Activation(activation)])
    model.compile("sgd", loss)
    return model


LABELS = {"num_classes": 3, "class_names": ["a", "b", "c"], "multi_label": True}
CLASSES = {"num_classes": 3, "class_names": ["a", "b", "c"]}
CASES = {  # loss, activation, facts, inputs, targets -> the columns after the prediction, the first of them
    "labels by cross-entropy": (BCE, "linear", LABELS, GIVEN, "abc", expit(GIVEN)[:, 0]),
    "labels by squared error": ("mse", "sigmoid", LABELS, GIVEN, "abc", expit(GIVEN)[:, 0]),
    "classes": (SCE, "linear", CLASSES, GIVEN, "abc", softmax(GIVEN, axis=1)[:, 0]),
    "classes by squared error": ("mse", "linear", CLASSES, GIVEN, "abc", GIVEN[:, 0]),
    "classes of steps": (SCE, "linear", CLASSES, STEPS, ["0_a"], softmax(STEPS, axis=-1)[:, 0, 0]),
    "numbers": ("mse", "linear", {"num_targets": 3}, GIVEN, None, GIVEN[:, 0]),
}


@pytest.mark.parametrize("case", CASES)
def test_new_examples_get_the_columns_of_judged_ones(case: str) -> None:
    loss, activation, facts, x, names, first = CASES[case]
    model = passes_on(loss, activation, x.shape[1:])
    targets = (GIVEN > 0.2).astype("int32") if facts is LABELS else x[..., 0] if names is None else x.argmax(axis=-1)
    asked = Asked(every=True)
    evaluated = Evaluated("run", "test", targets, np.asarray(model(x)), {}, model, **_outputs.of_facts(facts))
    judged = _answers.answers(evaluated, asked)
    own = Asked() if names is None else asked
    found = base.find("classification").answerer(Question([model], facts, own))(x, range(len(x)))
    assert [name for name in judged if not name.startswith(("index", "row", "target"))] == list(found)
    for name in found:
        np.testing.assert_array_equal(found[name], judged[name])
    if names is None:
        np.testing.assert_allclose(found["prediction_0"], first)
        return
    word = "score" if case == "classes by squared error" else "probability"
    assert f"{word}_{names[0]}" in found
    np.testing.assert_allclose(found[f"{word}_{names[0]}"], first, rtol=1e-5)
    labels = [name for name in judged if name.startswith("target")]
    if facts is not LABELS:  # targets are the largest of each, and so are predictions
        for name in labels:
            assert judged[name].tolist() == judged[name.replace("target", "prediction")].tolist()
        return
    joined = [";".join(np.array(list("abc"))[row]) for row in GIVEN > 0]  # a probability over 1/2
    assert found["prediction"].tolist() == joined
    assert judged["target"].tolist() == [";".join(np.array(list("abc"))[row]) for row in GIVEN > 0.2]


def test_several_models_of_labels_answer_with_the_mean_of_their_probabilities() -> None:
    models = [passes_on(BCE), passes_on("mse", "sigmoid")]
    answer = base.find("classification").answerer(Question([models[0], passes_on(BCE)], LABELS))
    np.testing.assert_allclose(answer(GIVEN, range(6))["probability_b"], expit(GIVEN)[:, 1], rtol=1e-5)
    both = base.find("classification").answerer(Question(models, LABELS))(GIVEN, range(6))
    np.testing.assert_allclose(both["probability_b"], expit(GIVEN)[:, 1], rtol=1e-5)


def test_models_whose_outputs_mean_other_things_do_not_answer_together() -> None:
    """Neither classes by logits and by scores, nor labels and classes; eval refuses the same."""
    for facts, others in ((CLASSES, [SCE, "mse"]), (LABELS, [BCE, SCE])):
        models = [passes_on(loss) for loss in others]
        answer = base.find("classification").answerer(Question(models, facts, runs=["runs/a", "runs/b"]))
        with pytest.raises(UsageError, match="runs/b and runs/a have other outputs: they can't be averaged"):
            answer(GIVEN, range(6))


@pytest.mark.parametrize(
    ("loss", "facts", "asked", "line"),
    [
        (BCE, LABELS, Asked(top=2), "--top: means nothing for labels of which several may hold"),
        ("mse", {"num_targets": 3}, Asked(top=2), "--top: means nothing for numbers"),
        ("mse", {"num_targets": 3}, Asked(every=True), "--probabilities: means nothing for numbers"),
    ],
)
def test_what_the_outputs_do_not_have_is_refused(loss: Any, facts: dict[str, Any], asked: Asked, line: str) -> None:
    answer = base.find("classification").answerer(Question([passes_on(loss)], facts, asked))
    with pytest.raises(UsageError, match=line):
        answer(GIVEN, range(6))


def test_twenty_models_are_traced_once_each() -> None:
    traces = []

    class Counted(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            traces.append(1)
            return x

    models = [keras.Sequential([keras.Input((3,)), Counted()]) for _ in range(20)]
    for model in models:
        model.compile("sgd", "mse")
    answer = base.find("regression").answerer(Question(models, {"num_targets": 3}))
    traces.clear()
    for _ in range(3):
        answer(GIVEN, range(6))
    assert len(traces) == 20


# -- next tokens ---------------------------------------------------------------------------------------

TEXT = "the cat sat.\n"


def language_model(outputs: int, layer: Any = None) -> Any:
    keras.utils.set_random_seed(outputs)
    layers = [keras.layers.Embedding(40, 4), layer or keras.layers.GRU(5, return_sequences=True)]
    model = keras.Sequential([keras.Input((None,), dtype="int32"), *layers, keras.layers.Dense(outputs)])
    model.compile("sgd", SCE)
    return model


def test_lines_have_fixed_columns_and_answers_that_stand_for_tokens() -> None:
    """Against the model applied to the whole line. Outputs 15 to 39 stand for no token, output 0 for unknown ones."""
    vocabulary = Characters.fit(TEXT)
    model, size = language_model(40), vocabulary.size
    model.layers[-1].bias.assign(np.where(np.arange(40) % 39 < 1, 9.0, 0.0))  # the unknown and the last are likely
    facts = {"num_classes": size}
    answer = base.find("language").answerer(Question([model], facts, Asked(top=99), vocabulary))
    found = answer(["", "the c", "t", ""], [1, 2, 3, 4])
    ends = [""] + [f"_{rank}" for rank in range(2, size)]
    columns = [f"{word}{end}" for end in ends for word in ("prediction", "probability")]
    assert list(found) == [*columns, "log_probability", "tokens"]
    assert list(answer([""], [1])) == list(found) and list(found["tokens"]) == [0, 5, 1, 0]
    assert found.iloc[0][columns].isna().all() and found["log_probability"].tolist()[0::2] == [0, 0]
    tokens = vocabulary.encode("the c")
    chances = keras.ops.softmax(model(tokens[None])[0]).numpy()
    likeliest = 1 + np.argsort(-chances[-1, 1:size])
    assert found.iloc[1][columns[0::2]].tolist() == [vocabulary.decode([token]) for token in likeliest]
    np.testing.assert_allclose(found.iloc[1][columns[1::2]].astype(float), chances[-1][likeliest], rtol=1e-4)
    expected = np.log(chances[np.arange(4), tokens[1:]]).sum()
    assert found["log_probability"][1] == pytest.approx(expected, rel=1e-4)


def test_several_language_models_average_probabilities() -> None:
    vocabulary, task = Characters.fit(TEXT), base.find("language")
    models = [language_model(vocabulary.size), language_model(vocabulary.size + 3)]
    tokens = vocabulary.encode("cat")
    chances = [keras.ops.softmax(model(tokens[None])[0]).numpy()[:, : vocabulary.size] for model in models]
    mean = np.mean(chances, axis=0)
    found = task.answerer(Question(models, {}, Asked(), vocabulary))(["cat"], [1])
    assert found["probability"][0] == pytest.approx(mean[-1, 1:].max(), rel=1e-4)
    assert found["log_probability"][0] == pytest.approx(np.log(mean[[0, 1], tokens[1:]]).sum(), rel=1e-4)


def test_a_model_that_looks_ahead_answers_no_lines() -> None:
    both_ways = keras.layers.Bidirectional(keras.layers.GRU(2, return_sequences=True))
    vocabulary = Characters.fit(TEXT)
    with pytest.raises(ValueError, match="is bidirectional"):
        base.find("language").answerer(Question([language_model(9, both_ways)], {}, Asked(), vocabulary))
