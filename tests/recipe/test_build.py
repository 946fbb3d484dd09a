"""Building: names and arguments of recipes become Keras objects, each error one line at its place."""
# ruff: noqa: E501

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.errors import DataError, RecipeError
from dltool.recipe import build, catalogue, reading
from dltool.recipe.reading import Recipe
from dltool.recipe.values import from_text

DIGITS = {"input_shape": (8, 8, 1), "num_classes": 10}


def recipe_of(model: str, compile: str = "{optimizer: adam, loss: mse}", rest: str = "") -> Recipe:
    """A recipe whose model begins at line 4, a layer a line."""
    text = f"data: {{dataset: Digits}}\ncompile: {compile}\nmodel:\n{model}\n{rest}\n"
    root = from_text(text, "r.yaml")
    assert reading.check(root) == []
    return Recipe(root, "r.yaml", "")


def checked(model: str, compile: str = "{optimizer: adam, loss: mse}", rest: str = "") -> list[str]:
    with pytest.raises(RecipeError) as caught:
        build.check(recipe_of(model, compile, rest))
    return str(caught.value).splitlines()


def built(text: str, kind: str = "layers", **options: Any) -> Any:
    """The object of a piece of YAML."""
    builder = build.Builder(**({"facts": DIGITS} | options))
    value = builder._of_kind(kind, from_text(text, "r.yaml"), kind)
    builder.finish()
    return value


def model_of(layers: str, facts: dict[str, Any] = DIGITS, x: np.ndarray | None = None) -> keras.Model:
    def batches() -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(x).batch(4)

    return build.model(recipe_of(layers), facts, batches)


def test_an_unknown_argument_names_file_line_column_path_and_the_near_one() -> None:
    root = from_text(
        "# LeNet-5\ndata:\n  dataset: Digits\nmodel:\n  - Flatten\n  - Flatten\n  - Flatten\n"
        "  - Conv2D:\n      filters: 6\n      kernel_size: 5\n      actvation: tanh\n"
        "compile: {optimizer: adam, loss: mse}\n",
        "recipes/cnn/lenet5.yaml",
    )
    with pytest.raises(RecipeError) as caught:
        build.check(Recipe(root, "recipes/cnn/lenet5.yaml", ""))
    wanted = "recipes/cnn/lenet5.yaml:11:7: model[3].Conv2D: no argument 'actvation'. Did you mean 'activation'?"
    assert str(caught.value) == wanted


@pytest.mark.parametrize(
    ("layer", "line"),
    [
        ("Dens: 5", "4:5: model[0]: no layer named 'Dens'. Did you mean 'Dense'?"),
        ("dense: 5", "4:5: model[0]: no layer named 'dense'. Did you mean 'Dense'?"),
        ("flatten", "4:5: model[0]: no layer named 'flatten'. Did you mean 'Flatten'?"),
        ("Dense", "4:5: model[0].Dense: missing argument 'units'"),
        ("Dense: {activation: relu}", "4:5: model[0].Dense: missing argument 'units'"),
        ("Conv2D: {}", "4:5: model[0].Conv2D: missing arguments 'filters', 'kernel_size'"),
        ("Conv2D: 6", "4:5: model[0].Conv2D: missing argument 'kernel_size'"),
        ("Dense: -1", "4:5: model[0].Dense: Received an invalid value for `units`, expected a positive integer. "
            "Received: units=-1"),
        ("Dropout: 50%", "4:5: model[0].Dropout: an argument is of the wrong type "
            "('<=' not supported between instances of 'int' and 'str'). Got rate='50%'."),
        ("Dense: {units: 1, kernel_regularizer: {l2: 0.1}}",
            "4:43: model[0].Dense.kernel_regularizer: no regularizer named 'l2'. Did you mean 'L2'?"),
        ("Conv2D: [6, 5]", "4:5: model[0].Conv2D: missing argument 'kernel_size'"),
        ("Dropout: 2", "4:5: model[0].Dropout: Invalid value received for argument `rate`. "
            "Expected a float value between 0 and 1. Received: rate=2"),
        ("Dense: {units: 5, activation: rellu}",
            "4:35: model[0].Dense.activation: no activation named 'rellu'. Did you mean 'relu'?"),
        ("Dense: {units: 5, kernel_initializer: 0.1}",
            "4:43: model[0].Dense.kernel_initializer: must name one of the initializers, such as HeNormal. Got 0.1."),
        ("Dense: {units: 5, kernel_initializer: true}",
            "4:43: model[0].Dense.kernel_initializer: must name one of the initializers, such as HeNormal. Got True."),
        ("Dense: {units: 5, kernel_regularizer: {L3: 0.1}}",
            "4:44: model[0].Dense.kernel_regularizer: no regularizer named 'L3'. One is L2."),
        ("Bidirectional: {LSTMM: 8}",
            "4:21: model[0].Bidirectional.layer: no layer named 'LSTMM'. Did you mean 'LSTM'?"),
        ("Lambda: x", "4:5: model[0]: Lambda is not for recipes: a Lambda holds Python code, which a recipe can't. "
            "Write a layer of your own: --plugin."),
        ("Input: [3]", "4:5: model[0]: Input is not for recipes: the data give the input's shape. Remove it."),
        ("5", "4:5: model[0]: must name one of the layers, such as Dense. Got 5."),
        ("[Dense]", "4:5: model[0]: must name one of the layers, such as Dense. Got a list."),
        ("", "4:4: model[0]: must name one of the layers, such as Dense. Got nothing."),
        ("Dense:\n    units: 5", "4:5: model[0]: indent the arguments of Dense further, or write Dense: {units: ...}"),
        ("Dense: 5\n    Flatten:", "4:5: model[0]: one entry holds Dense and Flatten. Begin each with '- '."),
        ("Flatten: {input_shape: [8, 8]}", None),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_layer_is_one_line(layer: str, line: str | None) -> None:
    (got,) = checked(f"  - {layer}")
    if line is None:
        assert "no argument 'input_shape'" in got
    else:
        assert got == f"r.yaml:{line}"


@pytest.mark.parametrize(
    ("compile", "lines"),
    [
        ("{optimizer: lamb, loss: mse}", ["2:22: compile.optimizer: no optimizer named 'lamb'. Did you mean 'Lamb'?"]),
        ("{optimizer: adam, loss: huber_los}", ["2:34: compile.loss: no loss named 'huber_los'. Did you mean 'huber'?"]),
        ("{optimizer: {adam: {learning_rate: 1}}, loss: mse}",
            ["2:22: compile.optimizer: no optimizer named 'adam'. Did you mean 'Adam'?"]),
        ("{optimizer: Adam}", ["2:10: compile.loss: is missing. Name one, such as MeanSquaredError."]),
        ("{optimizer: , loss: mse}", ["2:21: compile.optimizer: is missing. Name one, such as Adam."]),
        ("{optimizer: {SGD: {lr: 1}}, loss: mse}", ["2:29: compile.optimizer.SGD: no argument 'lr'."]),
        ("{optimizer: {SGD: {learning_rate: Cosine}}, loss: mse}",
            ["2:44: compile.optimizer.SGD.learning_rate: no schedule named 'Cosine'."]),
        ("{optimizer: {SGD: {learning_rate: '0.1'}}, loss: mse}",
            ["2:44: compile.optimizer.SGD.learning_rate: no schedule named '0.1'."]),
        ("{optimizer: {SGD: {momentum: 3}}, loss: mse}",
            ["2:23: compile.optimizer.SGD: `momentum` must be a float between [0, 1]."]),
        ("{optimizer: {SGD: {learning_rate: {CosineDecay: {initial_learning_rate: 1, decay_steps: 12epochs}}}}, loss: mse}",
            ["2:98: compile.optimizer.SGD.learning_rate.CosineDecay.decay_steps: "
             "must be steps (an int) or '12 epochs'. Got '12epochs'."]),
        ("{optimizer: adam, loss: mse, metrics: [accurac, {Precison: {}}]}",
            ["2:49: compile.metrics[0]: no metric named 'accurac'.", "2:59: compile.metrics[1]: no metric named 'Precison'."]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_compile_is_one_line(compile: str, lines: list[str]) -> None:
    got = checked("  - Flatten", compile)
    assert len(got) == len(lines)
    assert all(one.startswith(f"r.yaml:{line}") for one, line in zip(got, lines, strict=True)), got


def test_all_problems_come_at_once_in_order_of_place() -> None:
    lines = checked(
        "  - Dense: {unit: 3}\n  - Conv2D: {filters: -1, kernel_size: 3}\n  - Dense: {units: 1, bias_initializer: Zeroes}",
        "{optimizer: Adm, loss: mse}",
        "fit: {callbacks: [EarlyStoping]}\ndtype_policy: float17\nprocedure: Nothing",
    )
    assert [line.split(": ")[1] for line in lines] == [
        "compile.optimizer", "model[0].Dense", "model[1].Conv2D", "model[2].Dense.bias_initializer",
        "fit.callbacks[0]", "dtype_policy", "procedure",
    ]  # fmt: skip
    assert [int(line.split(":")[1]) for line in lines] == [2, 4, 5, 6, 7, 8, 9]


# -- arguments -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "attribute", "value"),
    [
        ("Dense: 7", "units", 7),
        ("Dense: ${data.num_classes}", "units", 10),
        ("Reshape: [4, 16]", "target_shape", (4, 16)),
        ("Reshape: ${data.input_shape}", "target_shape", (8, 8, 1)),
        ("MaxPooling2D", "pool_size", (2, 2)),
        ("MaxPooling2D: ", "pool_size", (2, 2)),
        ("MaxPooling2D: {}", "pool_size", (2, 2)),
        ("Dense: {units: 1, name: out, trainable: false}", "trainable", False),
        ("Rescaling: {scale: 0.5, offset: -1}", "offset", -1),
        ("Normalization: {axis: null}", "axis", ()),
    ],
)
def test_a_body_is_the_first_argument_or_keywords(text: str, attribute: str, value: object) -> None:
    assert getattr(built(text), attribute) == value


def test_the_key_decides_between_namespaces() -> None:
    compiled = "{optimizer: Adam, loss: CategoricalCrossentropy, metrics: [CategoricalCrossentropy, accuracy, mae]}"
    arguments = build.Builder(DIGITS).arguments_of_compile(recipe_of("  - Flatten", compiled))
    assert isinstance(arguments["loss"], keras.losses.Loss)
    assert isinstance(arguments["metrics"][0], keras.metrics.Metric)
    assert arguments["metrics"][1:] == ["accuracy", "mae"]


def test_a_dict_of_losses_gives_each_output_its_own() -> None:
    text = "{optimizer: adam, loss: {a: mse, b: {CategoricalCrossentropy: {from_logits: true}}}, metrics: {a: [mae]}}"
    arguments = build.Builder(DIGITS).arguments_of_compile(recipe_of("  - Flatten", text))
    assert arguments["loss"]["a"] == "mse"
    assert arguments["loss"]["b"].get_config()["from_logits"] is True
    assert arguments["metrics"] == {"a": ["mae"]}


def test_initializers_regularizers_constraints_and_activations_nest() -> None:
    layer = built(
        "Dense: {units: 1, kernel_initializer: {TruncatedNormal: {stddev: 0.3}}, kernel_regularizer: {L2: 0.25},"
        " bias_regularizer: l1, kernel_constraint: {MaxNorm: 3}, activation: {LeakyReLU: 0.125}}"
    )
    assert layer.kernel_initializer.stddev == 0.3
    assert float(layer.kernel_regularizer.l2) == 0.25
    assert isinstance(layer.bias_regularizer, keras.regularizers.L1)
    assert layer.kernel_constraint.max_value == 3
    assert layer.activation.negative_slope == 0.125


@pytest.mark.parametrize("text", ["{LSTM: 8}", "{layer: {LSTM: 8}}", "{layer: {LSTM: {units: 8}}, merge_mode: sum}"])
def test_a_wrapped_layer_is_the_first_argument_or_a_keyword(text: str) -> None:
    layer = built(f"Bidirectional: {text}")
    assert isinstance(layer.forward_layer, keras.layers.LSTM) and layer.forward_layer.units == 8


def test_layers_nest_to_any_depth() -> None:
    layer = built("TimeDistributed: {Bidirectional: {layer: {GRU: 4}}}")
    assert layer.layer.forward_layer.units == 4


@pytest.mark.parametrize(
    "text", ["[LSTMCell: 8, GRUCell: 4]", "{cell: [LSTMCell: 8, GRUCell: 4], return_sequences: true}"]
)
def test_an_rnn_takes_a_list_of_cells(text: str) -> None:
    cells = built(f"RNN: {text}").cell.cells
    assert [(type(cell).__name__, cell.units) for cell in cells] == [("LSTMCell", 8), ("GRUCell", 4)]


@pytest.mark.parametrize(("kind", "word"), [("activations", "relu"), ("optimizers", "adamw"), ("losses", "mse"),
                                            ("initializers", "he_normal"), ("regularizers", "l2")])  # fmt: skip
def test_lower_case_words_go_to_keras_untouched(kind: str, word: str) -> None:
    assert built(word, kind) == word


def test_epochs_of_schedules_are_steps() -> None:
    text = (
        "CosineDecay: {initial_learning_rate: 0.1, decay_steps: 12 epochs, warmup_steps: 0.5 epochs, warmup_target: 1}"
    )
    schedule = built(text, "schedules", steps_per_epoch=30)
    assert (schedule.decay_steps, schedule.warmup_steps) == (360, 15)
    text = "PiecewiseConstantDecay: {boundaries: [1 epoch, 2.5 epochs, 100], values: [4, 3, 2, 1]}"
    schedule = built(text, "schedules", steps_per_epoch=10)
    assert schedule.boundaries == [10, 25, 100]


def test_a_part_of_an_epoch_is_not_taken_for_no_steps_before_the_data_are_known() -> None:
    schedule = "{CosineDecay: {initial_learning_rate: 0.1, decay_steps: 0.3 epochs}}"
    build.check(recipe_of("  - Flatten", f"{{optimizer: {{SGD: {{learning_rate: {schedule}}}}}, loss: mse}}"))


def test_an_unknown_fact_names_those_that_are_there() -> None:
    with pytest.raises(
        RecipeError, match="^r.yaml:1:8: .*the data have no fact 'classes'. They have: input_shape, num_"
    ):
        built("Dense: ${data.classes}")


def test_callbacks_write_below_the_run_directory(tmp_path: Path) -> None:
    text = "fit: {callbacks: [{CSVLogger: log.csv}, TensorBoard, {ModelCheckpoint: {filepath: 'c/{epoch}.keras'}}]}"
    logger, board, checkpoint = build.callbacks(recipe_of("  - Flatten", rest=text), tmp_path)
    assert logger.filename == f"{tmp_path}/log.csv"
    assert board.log_dir == f"{tmp_path}/logs"  # Keras's default would be ./logs
    assert checkpoint.filepath == f"{tmp_path}/c/{{epoch}}.keras"


@pytest.mark.parametrize("path", ["/etc/passwd", "../up.csv", "a/../../b.csv"])
def test_callbacks_cannot_write_elsewhere(path: str) -> None:
    (line,) = checked("  - Flatten", rest=f"fit: {{callbacks: [{{CSVLogger: {path}}}]}}")
    assert line.endswith(f"must stay below the run directory: give a relative path. Got '{path}'.")


# -- every Keras object by name ------------------------------------------------------------------------

BODIES = {  # arguments without which a class makes no sense
    "AdaptiveAveragePooling1D": 2, "AdaptiveAveragePooling2D": 2, "AdaptiveAveragePooling3D": 2,
    "AdaptiveMaxPooling1D": 2, "AdaptiveMaxPooling2D": 2, "AdaptiveMaxPooling3D": 2,
    "Activation": "relu", "ActivationPercentiles": "dense", "Bidirectional": "{LSTM: 2}", "CSVLogger": "log.csv", "CategoryEncoding": 4,
    "CenterCrop": "{height: 2, width: 2}", "Constant": 1.0, "ConvLSTM1D": "{filters: 2, kernel_size: 3}",
    "ConvLSTM2D": "{filters: 2, kernel_size: 3}", "ConvLSTM3D": "{filters: 2, kernel_size: 3}",
    "CosineDecay": "{initial_learning_rate: 0.1, decay_steps: 3 epochs}",
    "CosineDecayRestarts": "{initial_learning_rate: 0.1, first_decay_steps: 3 epochs}",
    "DepthwiseConv1D": 3, "DepthwiseConv2D": 3, "Discretization": "{num_bins: 3}", "Dot": "{axes: 1}", "AlphaDropout": 0.1, "Dropout": 0.1,
    "SpatialDropout1D": 0.1, "SpatialDropout2D": 0.1, "SpatialDropout3D": 0.1, "GaussianDropout": 0.1, "GaussianNoise": 0.1,
   
    "EinsumDense": "{equation: 'ab,bc->ac', output_shape: 3}", "Embedding": "{input_dim: 5, output_dim: 2}",
    "ExponentialDecay": "{initial_learning_rate: 0.1, decay_steps: 3, decay_rate: 0.5}",
    "FeatureSpace": "{features: {a: float}}", "GroupQueryAttention": "{head_dim: 4, num_query_heads: 2, num_key_value_heads: 1}",
    "HashedCrossing": 5, "Hashing": 5, "InverseTimeDecay": "{initial_learning_rate: 0.1, decay_steps: 3, decay_rate: 0.5}",
    "LossScaleOptimizer": "{inner_optimizer: {Adam: 0.1}}", "MaxNumBoundingBoxes": 3, "MeanIoU": 3, "OneHotIoU":
    "{num_classes: 3, target_class_ids: [0]}", "OneHotMeanIoU": 3, "IoU": "{num_classes: 3, target_class_ids: [0]}",
    "BinaryIoU": "{target_class_ids: [0]}", "ModelCheckpoint": "best.keras", "MultiHeadAttention":
    "{num_heads: 2, key_dim: 3}", "OrbaxCheckpoint": "orbax", "Permute": [2, 1], "PiecewiseConstantDecay":
    "{boundaries: [1 epoch], values: [1.0, 0.5]}", "Pipeline": "[Flatten, {Dense: 2}]",
    "PolynomialDecay": "{initial_learning_rate: 0.1, decay_steps: 3}", "PrecisionAtRecall": 0.5, "RNN": "{LSTMCell: 2}",
    "RandomCrop": "{height: 2, width: 2}", "RecallAtPrecision": 0.5, "RepeatVector": 2, "Rescaling": 0.5,
    "Repeat": "{layers: [{Dense: 2}], times: 3}", "Resizing": "{height: 2, width: 2}", "Reshape": [4], "ReversibleEmbedding": "{input_dim: 5, output_dim: 2}",
    "SensitivityAtSpecificity": 0.5, "SpecificityAtSensitivity": 0.5, "SpectralNormalization": "{Dense: 2}",
    "Branches": "[[{Dense: 2}], []]", "PartialConv2D": "{connections: [[0], [0, 1]], kernel_size: 1}",
    "Residual": "[{Dense: 2}]", "ApplicationPreprocessing": "MobileNetV2", "Cutout": 4, "WidthNormalization": 10,
    "OutputFeedbackCell": "{units: 2, outputs: 1}", "StackedRNNCells": "[LSTMCell: 2]",
    "TimeDistributed": "{Dense: 2}", "SpatialTransformer": "{localisation: [{Dense: 2}]}",
    "UNet": "{encoder: [{Conv2D: {filters: 2, kernel_size: 3, strides: 2, padding: same}}], filters: [2]}",
    "YoloHead": "{anchors: [[4, 4]], classes: 2}", "MeanAveragePrecision": "{classes: 2}",
}  # fmt: skip
UNITS = ("BinaryDense", "Dense", "GRU", "GRUCell", "HistoryCompressor", "LSTM", "LSTMCell", "PeepholeLSTMCell", "RBF", "RBM",
         "RecurrentHighwayCell", "SimpleRNN", "SimpleRNNCell")  # fmt: skip
FACTORS = ("RandomBrightness", "RandomContrast", "RandomRotation", "RandomTranslation", "RandomZoom", "RandomHue",
           "RandomSaturation", "RandomSharpness", "RandomShear", "RandomPosterization", "RandomColorDegeneration",
           "RandomGrayscale", "RandomPerspective", "RandomElasticTransform", "RandomColorJitter")  # fmt: skip
EXCEPTIONS = {
    "MeanMetricWrapper": "takes a Python function",
    "SumOverBatchSize": "takes a Python function",
    "MultiOptimizer": "takes an OptimizerMap, for which Keras has no keywords",
    "OptimizerMap": "is filled by method calls",
    "OrbaxCheckpoint": "needs the orbax package",
    "RemoteMonitor": "needs the requests package",
    "Pretrained": "takes a run that was trained",
    "MadeImages": "takes a run that was trained",
}
KINDS = ("activations", "callbacks", "constraints", "initializers", "layers", "losses", "metrics", "optimizers",
         "regularizers")  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_keras_class_builds_by_name(kind: str) -> None:
    known = set(catalogue.known(kind)) - set(EXCEPTIONS)
    assert len(known) >= {"layers": 140, "metrics": 40, "losses": 20, "optimizers": 13}.get(kind, 4)
    failed = {}
    for name in sorted(known):
        body = BODIES.get(name) if name in BODIES else _body(kind, name)
        try:
            made = built(name if body is None else f"{name}: {body}", kind, steps_per_epoch=10)
        except RecipeError as error:
            failed[name] = str(error)
            continue
        assert callable(made) or isinstance(made, catalogue.find(kind, name))
    assert failed == {}, "\n".join(failed.values())


def _body(kind: str, name: str) -> Any:
    if kind != "layers":
        return None
    if name in UNITS:
        return 2
    if name.startswith(("AveragePooling", "AvgPool")):
        return 2
    if "Conv" in name and "LSTM" not in name:
        return "{filters: 2, kernel_size: 3}"
    if name == "RandomPosterization":
        return 3
    if name in FACTORS:
        needed = [key for key, p in build.parameters(catalogue.find(kind, name)).items() if p.default is p.empty]
        return f"{{{', '.join(f'{key}: 0.1' for key in needed)}}}"
    return None


# -- models --------------------------------------------------------------------------------------------


def test_normalization_is_adapted_on_the_training_inputs() -> None:
    x = np.random.default_rng(0).normal(3, 2, (50, 8, 8, 1)).astype("float32")
    model = model_of("  - Rescaling: 2.0\n  - Normalization: {axis: null}\n  - Flatten", x=x)
    normalized = model.layers[1]
    assert float(np.squeeze(normalized.mean)) == pytest.approx(2 * x.mean(), rel=1e-5)  # twin: NumPy, after Rescaling
    assert float(np.squeeze(normalized.variance)) == pytest.approx(4 * x.var(), rel=1e-4)
    y = model.predict(x, verbose=0)
    assert (y.mean(), y.std()) == (pytest.approx(0, abs=1e-4), pytest.approx(1, abs=1e-4))


def test_normalization_is_adapted_in_float32_under_a_mixed_policy() -> None:
    x = np.random.default_rng(0).normal(3, 2, (500, 8, 8, 1)).astype("float32")
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        normalized = model_of("  - Normalization: {axis: null}\n  - Flatten", x=x).layers[0]
    finally:
        keras.config.set_dtype_policy("float32")
    assert normalized.compute_dtype == "bfloat16"
    assert float(np.squeeze(normalized.adapt_mean)) == pytest.approx(x.mean(), rel=1e-5)
    assert float(np.squeeze(normalized.adapt_variance)) == pytest.approx(x.var(), rel=1e-4)
    assert keras.backend.standardize_dtype(normalized.mean.dtype) == "bfloat16"  # as when it is loaded


def test_a_given_mean_is_not_adapted_away() -> None:
    model = model_of("  - Normalization: {mean: 5.0, variance: 4.0}", x=np.zeros((4, 8, 8, 1), "float32"))
    assert float(model(np.full((1, 8, 8, 1), 9.0))[0, 0, 0, 0]) == pytest.approx(2)  # (9 - 5) / sqrt(4)


def test_a_model_runs_under_the_recipes_name_and_shape() -> None:
    model = model_of("  - Flatten\n  - Dense: ${data.num_classes}")
    assert (model.name, model.input_shape, model.output_shape) == ("r", (None, 8, 8, 1), (None, 10))
    assert isinstance(model, keras.Sequential)


@pytest.mark.parametrize(
    ("layers", "start"),
    [
        ("  - Flatten\n  - Dense: 3\n  - Conv2D: {filters: 2, kernel_size: 3}",
            "r.yaml:6:5: model[2].Conv2D: Input 0 with name"),
        ("  - Reshape: [3, 3]", "r.yaml:4:5: model[0].Reshape: The total size of the tensor must be unchanged"),
        ("  - MaxPooling2D: 4\n  - Conv2D: {filters: 2, kernel_size: 5}",
            "r.yaml:5:5: model[1].Conv2D: Computed output size would be zero or negative"),
        ("  - Flatten\n  - FeatureSpace: {features: {a: float}}",
            "r.yaml:5:5: model[1].FeatureSpace: encodes the columns of a table; these data are arrays. Remove it."),
    ],
)  # fmt: skip
def test_a_layer_that_does_not_fit_is_reported_at_its_own_line(layers: str, start: str) -> None:
    with pytest.raises(RecipeError) as caught:
        model_of(layers)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(start)
    assert "Arguments received" not in line and "\x1b" not in line


def test_unreadable_data_met_while_adapting_are_no_problem_of_the_recipe() -> None:
    def batches() -> Any:
        raise DataError("x.png: is truncated")

    with pytest.raises(DataError, match="^x.png: is truncated$"):
        build.model(recipe_of("  - Normalization"), DIGITS, batches)


def test_a_table_begins_with_its_feature_space() -> None:
    x = {"age": np.array([10.0, 20, 30, 40], "float32"), "sex": np.array(["f", "m", "f", "m"])}
    facts = {"features": {"age": "float_normalized", "sex": "string_categorical"}, "num_classes": 2}
    layers = "  - FeatureSpace: ${data.features}\n  - Dense: ${data.num_classes}"
    model = build.model(recipe_of(layers), facts, lambda: tf.data.Dataset.from_tensor_slices(x).batch(2))
    # age: 1 column; sex: f, m and one for what was not seen
    assert model.layers[-1].kernel.shape == (4, 2)
    ask = {"age": tf.constant([[25.0], [99.0]]), "sex": tf.constant([["f"], ["?"]])}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Keras warns where inputs are not the very structure that it knows
        assert model(ask).shape == (2, 2)


def test_a_table_without_feature_space_is_told_to_begin_with_it() -> None:
    with pytest.raises(
        RecipeError, match=r"^r.yaml:4:5: model\[0\]: .* begin the model with - FeatureSpace: \$\{data.f"
    ):
        build.model(recipe_of("  - Dense: 1"), {"features": {"a": "float"}}, lambda: None)


def test_a_table_cannot_be_augmented() -> None:
    asked = recipe_of("  - Dense: 1").root.data | {"data": from_text("{augment: [RandomFlip]}", "r.yaml")}
    with pytest.raises(RecipeError, match="^r.yaml:1:11: data.augment: the data are columns of a table"):
        build.augmentation(Recipe(from_text("{}", "r.yaml").__class__(asked, None), "r.yaml", ""), {"features": {}})


def test_an_architecture_is_built_by_name_for_the_data() -> None:
    body = "{weights: null, input_shape: '${data.input_shape}', classes: '${data.num_classes}', alpha: 0.25}"
    facts = {"input_shape": (32, 32, 3), "num_classes": 7}
    asked = recipe_of(f"  MobileNet: {body}")
    build.check(asked)
    assert build.model(asked, facts, lambda: None).output_shape == (None, 7)
    with pytest.raises(RecipeError, match=r"model: takes inputs of shape \(32, 32, 3\), the data have \(8, 8, 1\)"):
        build.model(recipe_of(f"  MobileNet: {body.replace('${data.input_shape}', '').replace(chr(39) * 2, '[32, 32, 3]')}"),
                    DIGITS, lambda: None)  # fmt: skip


@pytest.mark.parametrize("name", reading.bundled_names())
def test_every_bundled_recipe_passes_the_check(name: str) -> None:
    build.check(reading.load(name))
