"""Distillation against closed forms and plain gradient descent, and what its command says."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax, softmax

from dltool.data.base import Examples
from dltool.data.pipelines.in_memory import DeviceArrays, InMemory
from dltool.library.applications._auxiliary import DeeplySupervised
from dltool.library.applications._committee import CommitteeModel, MeanProbability
from dltool.recipe import reading
from dltool.training.procedures.distill import Distill, check_fit, distillation_losses, logits_of
from dltool.training.procedures.gradient_descent import GradientDescent
from tests.command_line import QUICK, Done, run, trained, write_quick

SIZE, FEATURES, CLASSES = 40, 5, 3  # in batches of 16 the last one is smaller


def examples(seed: int = 0) -> Examples:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(SIZE, FEATURES)).astype("float32")
    return Examples(x, generator.integers(CLASSES, size=SIZE).astype("int32"))


def net(outputs: int = CLASSES, activation: str | None = None) -> keras.Model:
    keras.utils.set_random_seed(3)
    return keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(outputs, activation=activation)])


def student(rate: float = 0.1, penalty: float = 0.0) -> keras.Model:
    keras.utils.set_random_seed(1)
    regularizer = keras.regularizers.L2(penalty) if penalty else None
    layers = [keras.layers.Dense(4, activation="tanh", kernel_regularizer=regularizer), keras.layers.Dropout(0.2)]
    model = keras.Sequential([keras.Input((FEATURES,)), *layers, keras.layers.Dense(CLASSES)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(rate, momentum=0.9), loss, metrics=["accuracy"], jit_compile=False)
    model.compute_metrics(None, np.zeros(2, "int32"), model(np.zeros((2, FEATURES), "float32")), None)
    model.optimizer.build(model.trainable_variables)
    model.reset_metrics()
    return model


def teacher() -> keras.Model:
    """One that would change if it were used in training mode."""
    keras.utils.set_random_seed(2)
    layers = [keras.layers.BatchNormalization(), keras.layers.Dropout(0.5), keras.layers.Dense(8, "relu")]
    return keras.Sequential([keras.Input((FEATURES,)), *layers, keras.layers.Dense(CLASSES)])


def pipeline(data: Examples | None = None, batch_size: int = 16) -> InMemory:
    return InMemory(DeviceArrays(data or examples()), None, batch_size)


def same_weights(one: keras.Model, other: keras.Model) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


# -- the loss --------------------------------------------------------------------------------------------


def test_loss_worked_by_hand() -> None:
    # T = 2; teacher (2 ln 3, 0) -> p = (3/4, 1/4), student (5, 5) -> q = (1/2, 1/2)
    # T^2 KL(p || q) = 4 (3/4 ln(3/2) + 1/4 ln(1/2)) = 0.5232...
    found = distillation_losses(tf.constant([[2 * np.log(3.0), 0.0]], tf.float32), tf.constant([[5.0, 5.0]]), 2.0)
    assert found.numpy() == pytest.approx([4 * (0.75 * np.log(1.5) + 0.25 * np.log(0.5))], rel=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])
def test_gradient_is_t_times_the_difference_of_the_softened_probabilities(temperature: float) -> None:
    """Eq. 2 of the paper, (q - p) / T, times T^2."""
    generator = np.random.default_rng(0)
    v, z = generator.normal(size=(2, 6, 4)) * 5
    variable = tf.Variable(z, dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(distillation_losses(tf.constant(v, tf.float32), variable, temperature))
    expected = temperature * (softmax(z / temperature, axis=-1) - softmax(v / temperature, axis=-1))
    np.testing.assert_allclose(tape.gradient(loss, variable), expected, rtol=1e-3, atol=1e-5)


def test_at_high_temperature_logits_are_matched() -> None:
    """Section 2.1, eq. 4: of logits without mean the gradient tends to (z - v) / N; here T^2 is in the loss."""
    v, z = np.array([[1.0, -3.0, 2.0]]), np.array([[-2.0, 0.5, 1.5]])
    variable = tf.Variable(z, dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = distillation_losses(tf.constant(v, tf.float32), variable, 1000.0)
    np.testing.assert_allclose(tape.gradient(loss, variable), (z - v) / 3, atol=5e-3)


def test_a_teacher_that_ends_in_a_softmax_is_the_one_of_its_logits() -> None:
    """Also where probabilities are far below the 1e-7 at which Keras cuts them off."""
    x = examples().x * 8
    by_activation = net(activation="softmax")
    by_layer = keras.Sequential([net(), keras.layers.Softmax()])
    logits = np.asarray(net()(x))
    assert softmax(logits, axis=-1).min() < 1e-12
    for model in (by_activation, by_layer):
        found = logits_of(model)(model(x))
        np.testing.assert_allclose(log_softmax(found, axis=-1), log_softmax(logits, axis=-1), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(logits_of(net())(logits), logits)


def test_the_teacher_of_auxiliary_classifiers_is_the_main_one() -> None:
    inputs = keras.Input((FEATURES,))
    main = keras.layers.Dense(CLASSES, activation="softmax")(inputs)
    deep = DeeplySupervised(inputs, [main, keras.layers.Dense(CLASSES)(inputs)])
    check_fit(deep, student())
    x = examples().x
    np.testing.assert_allclose(softmax(logits_of(deep)(deep(x, training=True)), axis=-1), deep(x), rtol=1e-5)


# -- training --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_one_step_is_the_step_of_the_formula_with_class_weights_and_penalty(jit_compile: bool) -> None:
    data, weights, penalty = examples(), np.array([1.0, 3.0, 0.5], np.float32), 0.01
    keras.utils.set_random_seed(1)
    dense = keras.layers.Dense(CLASSES, use_bias=False, kernel_regularizer=keras.regularizers.L2(penalty))
    model = keras.Sequential([keras.Input((FEATURES,)), dense])
    model.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.optimizer.build(model.trainable_variables)
    before, wise = model.get_weights()[0], teacher()
    procedure = Distill(wise, temperature=5.0, student_loss_weight=0.3)
    history = procedure.fit(model, pipeline(data, SIZE), shuffle=False, class_weight=weights, jit_compile=jit_compile)

    z, v, w = data.x @ before, np.asarray(wise(data.x)), weights[data.y]
    hard = softmax(z, axis=-1) - np.eye(CLASSES)[data.y]
    q, p = softmax(z / 5, axis=-1), softmax(v / 5, axis=-1)
    slope = data.x.T @ (w[:, None] * (0.3 * hard + 0.7 * 5 * (q - p))) / SIZE + 2 * penalty * before
    np.testing.assert_allclose(model.get_weights()[0], before - 0.1 * slope, rtol=1e-4, atol=1e-6)
    cross_entropy = -np.mean(w * log_softmax(z, axis=-1)[np.arange(SIZE), data.y])
    divergence = np.mean(w * 25 * (p * (np.log(p) - np.log(q))).sum(-1))
    squares = penalty * (before**2).sum()
    assert history[0]["student_loss"] == pytest.approx(cross_entropy + squares, rel=1e-4)
    assert history[0]["distillation_loss"] == pytest.approx(divergence, rel=1e-4)
    assert history[0]["loss"] == pytest.approx(0.3 * cross_entropy + 0.7 * divergence + squares, rel=1e-4)


def test_without_the_teacher_s_part_it_is_gradient_descent() -> None:
    plain, distilled = student(penalty=1e-3), student(penalty=1e-3)
    expected = GradientDescent().fit(plain, pipeline(), epochs=3)
    found = Distill(teacher(), student_loss_weight=1).fit(distilled, pipeline(), epochs=3)
    assert [row["loss"] for row in found] == pytest.approx([row["loss"] for row in expected], rel=1e-6)
    for one, other in zip(plain.get_weights(), distilled.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_without_the_targets_part_targets_do_not_matter() -> None:
    data = examples()
    models = [student(), student()]
    for model, y in zip(models, (data.y, (data.y + 1) % CLASSES), strict=True):
        Distill(teacher(), student_loss_weight=0).fit(model, pipeline(Examples(data.x, y)), epochs=2)
    assert same_weights(*models)
    assert not same_weights(models[0], student())


def test_the_teacher_stays_as_it_is_and_outside_of_the_saved_student(tmp_path: Path) -> None:
    model, wise = student(), teacher()
    Distill(wise).fit(model, pipeline(), epochs=2)
    assert same_weights(wise, teacher())
    model.save(tmp_path / "student.keras")
    again = keras.models.load_model(tmp_path / "student.keras")
    assert [tuple(w.shape) for w in again.weights] == [tuple(w.shape) for w in student().weights]
    assert same_weights(again, model)


def test_the_teacher_sees_the_augmented_examples_that_the_student_sees() -> None:
    """A teacher equal to the student has nothing to teach, unless it were shown something else."""
    model = student(rate=0.0)
    model.layers[1].rate = 0.0
    keras.utils.set_random_seed(3)
    augment = keras.Sequential([keras.Input((FEATURES,)), keras.layers.GaussianNoise(1.0)])
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    (row,) = Distill(twin).fit(model, pipeline(), augment=augment)
    assert row["distillation_loss"] == pytest.approx(0, abs=1e-6)
    assert row["student_loss"] != pytest.approx(model.evaluate(examples().x, examples().y, verbose=0)[0], rel=1e-3)


def test_validation_is_by_the_student_s_own_loss() -> None:
    model, held = student(), examples(1)
    (row,) = Distill(teacher()).fit(model, pipeline(), pipeline(held))
    found = model.evaluate(held.x, held.y, verbose=0, return_dict=True)
    assert row["val_loss"] == pytest.approx(found["loss"], rel=1e-5)
    assert row["loss"] == pytest.approx(0.5 * row["student_loss"] + 0.5 * row["distillation_loss"], rel=1e-5)
    assert not {"val_student_loss", "val_distillation_loss"} & row.keys()


def test_a_state_in_the_middle_of_an_epoch_leads_to_the_same_bits() -> None:
    class Stop(Exception):
        pass

    class Observer:
        state: Any = None

        def begun(self, procedure: Any) -> None: ...

        def advanced(self, procedure: Any) -> None:
            if procedure.position.total_steps == 5:  # of 3 steps an epoch
                self.state = procedure.state()
                raise Stop

        def epoch_ended(self, procedure: Any, row: Any) -> None: ...

    settings = {"epochs": 3, "steps_per_execution": 1, "seed": 4}
    unbroken, broken, resumed, observer = student(), student(), student(), Observer()
    expected = Distill(teacher()).fit(unbroken, pipeline(), **settings)
    with pytest.raises(Stop):
        Distill(teacher()).fit(broken, pipeline(), observer=observer, **settings)
    found = Distill(teacher()).fit(resumed, pipeline(), state=observer.state, **settings)
    assert [{**row, "seconds": 0} for row in found] == [{**row, "seconds": 0} for row in expected]
    assert same_weights(resumed, unbroken)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Distill("x", temperature=0), "'temperature' .* must be a number > 0. Got 0"),
        (lambda: Distill("x", temperature=math.inf), "'temperature' .* must be a number > 0. Got inf"),
        (lambda: Distill("x", student_loss_weight=1.5), r"'student_loss_weight' .* in \[0, 1\]. Got 1.5"),
        (lambda: Distill(3), "'teacher' .* must be a run directory or file. Got 3"),
        (lambda: check_fit(net(4), student()), "the teacher has 4 classes, the student 3"),
        (lambda: check_fit(net(1), student()), "the teacher gives outputs of shape .*: no classifier"),
        (lambda: logits_of(net(activation="sigmoid")), "the last layer is a sigmoid"),
        (
            lambda: check_fit(
                keras.Sequential([keras.Input((2, FEATURES)), keras.layers.Flatten(), keras.layers.Dense(3)]), student()
            ),
            r"the teacher takes inputs of shape \(2, 5\), the student \(5,\)",
        ),
    ],
)
def test_what_does_not_fit_is_said(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


# -- the command line ------------------------------------------------------------------------------------

TAUGHT = QUICK + "procedure:\n  Distill: {teacher: runs/teacher, temperature: 2, student_loss_weight: 0.2}\n"


@pytest.fixture(scope="module")
def teacher_s_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run, to be copied."""
    folder = tmp_path_factory.mktemp("teacher")
    trained(write_quick(folder), "fit.epochs=1", "--out", folder / "teacher")
    return folder / "teacher"


@pytest.fixture
def folder(teacher_s_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a trained teacher and a recipe that it teaches."""
    monkeypatch.chdir(tmp_path)
    write_quick(tmp_path)
    write_quick(tmp_path, "taught.yaml", TAUGHT)
    shutil.copytree(teacher_s_run, "runs/teacher")
    return tmp_path


def one_line(done: Done, status: int, *words: str) -> None:
    assert (done.status, done.out) == (status, ""), done.err
    assert len(done.err.splitlines()) == 1, done.err
    for word in words:
        assert word in done.err


def test_a_distilled_run_needs_its_teacher_for_training_only(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "train", "taught.yaml", "dtype_policy=mixed_bfloat16", "--out", "a", "-q")
    assert done.status == 0, done.err
    with Path("a/history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["distillation_loss"]) < float(rows[0]["distillation_loss"])
    resolved = reading.load("a/recipe.yaml").setting("procedure", "Distill", "teacher")
    assert resolved == str(folder / "runs" / "teacher")
    shutil.rmtree("runs/teacher")
    assert run(capsys, "eval", "a").status == 0
    assert run(capsys, "summary", "a").status == 0
    assert run(capsys, "lr-schedule", "a").status == 0
    one_line(run(capsys, "train", "a", "--resume"), 5, "a/recipe.yaml:", "procedure.Distill", "no such run directory")
    assert Path("a/metrics.json").is_file()


def test_resume_refuses_a_teacher_that_has_changed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ("fit.epochs=3", "--accept-changes", "--resume", "-q")
    assert run(capsys, "train", "taught.yaml", "procedure={Distill: runs/teacher}", "--out", "a", "-q").status == 0
    assert run(capsys, "train", "a", *more).status == 0
    assert run(capsys, "train", "quick.yaml", "seed=5", "--out", "runs/teacher", "--overwrite", "-q").status == 0
    state = Path("a/checkpoint/state.npz").read_bytes()
    done = run(capsys, "train", "a", "fit.epochs=4", "--accept-changes", "--resume")
    assert done.err.startswith("dltool: changed since: fit.epochs: 3 -> 4\n")
    done.err = done.err.partition("\n")[2]
    one_line(done, 2, "a: can't go on: the teacher", "has changed since", "put the old one back")
    assert Path("a/checkpoint/state.npz").read_bytes() == state
    assert Path("a/metrics.json").is_file()
    shutil.copytree("runs/teacher", "runs/other")
    done = run(capsys, "train", "a", "fit.epochs=4", "procedure.Distill.teacher=runs/other", *more[1:])
    assert done.status == 0, done.err  # another teacher, by name, was accepted


@pytest.mark.parametrize(
    ("override", "status", "words"),
    [
        ("procedure.Distill.teacher=runs/none", 5, ("taught.yaml:", "procedure.Distill", "runs/none: no such run")),
        ("procedure.Distill.teacher=taught.keras", 5, ("taught.keras: is missing",)),
        ("procedure.Distill.teacher=.", 5, ("is not a run directory",)),
        ("procedure.Distill.temperature=0", 2, ("taught.yaml:", "'temperature'", "Got 0")),
        ("procedure.Distill.alpha=0.5", 2, ("no argument 'alpha'", "teacher, temperature, student_loss_weight")),
        (
            "model.3.Dense=12",
            2,
            ("taught.yaml:17:12: ", "procedure.Distill: the teacher has 10 classes, the student 12."),
        ),
    ],
)
def test_a_teacher_that_is_missing_or_does_not_fit_is_said_at_its_line(
    folder: Path, capsys: pytest.CaptureFixture[str], override: str, status: int, words: tuple[str, ...]
) -> None:
    one_line(run(capsys, "train", "taught.yaml", override, "--out", "a"), status, *words)
    assert not Path("a").exists()


def test_a_teacher_of_classes_of_other_names_is_refused(tmp_path: Path) -> None:
    teacher().save(tmp_path / "model.keras")
    (tmp_path / "data.json").write_text(json.dumps({"class_names": ["cat", "dog", "owl"]}))
    with pytest.raises(ValueError, match="class 1 is 'dog' to the teacher and 'owl' in the data"):
        Distill(str(tmp_path)).prepare(student(), class_names=["cat", "owl", "dog"])
    Distill(str(tmp_path)).prepare(student(), class_names=["cat", "dog", "owl"])
    Distill(str(tmp_path)).prepare(student(), class_names=["cat", "dog"])  # of a part of the classes
    with pytest.raises(ValueError, match="class 0 is 'cat' to the teacher and 'dog' in the data"):
        Distill(str(tmp_path)).prepare(student(), class_names=["dog", "owl"])  # numbered anew, from 0


def test_a_loss_that_is_a_sum_over_the_batch_is_refused() -> None:
    """The teacher's part is an average: the weight between them would depend on the batch size."""
    model = student()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum"))
    with pytest.raises(ValueError, match="average over the batch, as the loss must be: leave out reduction"):
        Distill(teacher()).prepare(model)


def test_the_average_of_a_committee_may_teach() -> None:
    """Section 3 of the paper distils an ensemble's averaged predictions."""
    inputs = keras.Input((FEATURES,))
    members = [keras.layers.Dense(CLASSES)(inputs) for _ in range(2)]
    wise = CommitteeModel(inputs, [MeanProbability()(members), *members])
    data = examples()
    check_fit(wise, student())
    mean = sum(softmax(np.asarray(keras.Model(inputs, one)(data.x)), axis=-1) for one in members) / 2
    found = softmax(np.asarray(logits_of(wise)(wise(data.x, training=False))), axis=-1)
    np.testing.assert_allclose(found, mean, rtol=1e-4)
    history = Distill(wise, student_loss_weight=0).fit(student(), pipeline(), epochs=5)
    assert history[-1]["distillation_loss"] < history[0]["distillation_loss"]
    with pytest.raises(ValueError, match="the student gives outputs of shape"):
        check_fit(teacher(), wise)


def test_a_damaged_teacher_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Path("runs/teacher/model.keras").open("r+b") as file:
        file.truncate(os.path.getsize("runs/teacher/model.keras") // 2)  # noqa: PTH202
    one_line(run(capsys, "train", "taught.yaml", "--out", "a"), 5, "model.keras", "damaged")
