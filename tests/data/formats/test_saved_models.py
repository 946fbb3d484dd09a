"""A model's file is read before anything in it is built: what is not on the list is refused by name."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from dltool.data.formats import saved_models
from dltool.data.formats.saved_models import RefusedModelError
from dltool.errors import DataError
from dltool.recipe import catalogue
from dltool.runs import directory as runs

KINDS = ("constraints", "initializers", "layers", "losses", "metrics", "optimizers", "regularizers")
FUNCTION = {"module": "keras.layers", "class_name": "function", "config": "TFSMLayer", "registered_name": "function"}
Change = Callable[[dict[str, Any]], None]


def node(module: str | None, class_name: str, config: Any = None, **more: Any) -> dict[str, Any]:
    return {"module": module, "class_name": class_name, "config": {} if config is None else config} | more


TFSM = node("keras.layers", "TFSMLayer", {"filepath": "hostile/sm", "name": "t"})


@pytest.fixture(scope="module", autouse=True)
def own_objects() -> None:
    catalogue.import_saved_objects()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, kernel_initializer="he_normal")], name="inner")
    inputs = keras.Input((4,), name="i")
    model = keras.Model(inputs, layers.Dense(2, activation="relu", name="d")(inner(inputs)), name="m")
    model.compile(keras.optimizers.SGD(0.1), keras.losses.MeanSquaredError(), [keras.metrics.MeanAbsoluteError()])
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model.save(path)
    return path


def rewritten(
    path: Path,
    to: Path,
    change: Change | None = None,
    *,
    text: bytes | None = None,
    members: dict[str, bytes] | None = None,
) -> Path:
    """A copy of a saved model with another configuration, or with more files."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                if change is not None:
                    change(config)
                content = json.dumps(config).encode() if text is None else text
            new.writestr(name, content)
        for name, content in (members or {}).items():
            new.writestr(name, content)
    return to


@pytest.fixture
def never_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test fail if Keras is asked to build anything from a file."""

    def build(*arguments: object, **keywords: object) -> None:
        raise AssertionError("the model was given to Keras")

    monkeypatch.setattr(keras.models, "load_model", build)


def _dense(config: dict[str, Any]) -> dict[str, Any]:
    return config["config"]["layers"][2]


def _inner(config: dict[str, Any]) -> dict[str, Any]:
    return config["config"]["layers"][1]["config"]["layers"][1]


PLACES: dict[str, Callable[[dict[str, Any], Any], None]] = {
    "the model": lambda config, one: config.update(one),
    "a layer": lambda config, one: config["config"]["layers"].append(one),
    "a layer of a model inside": lambda config, one: _inner(config).update(one),
    "an initializer": lambda config, one: _dense(config)["config"].update(kernel_initializer=one),
    "a dtype": lambda config, one: _dense(config)["config"].update(dtype=one),
    "a key that Keras ignores": lambda config, one: _dense(config)["config"].update(anything=[{"a": [[one]]}]),
    "the call of a layer": lambda config, one: _dense(config)["inbound_nodes"][0]["kwargs"].update(training=one),
    "how it was built": lambda config, one: _dense(config)["build_config"].update(input_shape=one),
    "the optimizer": lambda config, one: config["compile_config"].update(optimizer=one),
    "a loss": lambda config, one: config["compile_config"].update(loss={"d": [one]}),
    "a metric": lambda config, one: config["compile_config"].update(metrics=[one]),
    "an argument of the optimizer": lambda config, one: config["compile_config"]["optimizer"]["config"].update(
        learning_rate=one
    ),
}

HOSTILE: dict[str, tuple[Any, str]] = {
    "Lambda": (node("keras.layers", "Lambda", {"function": FUNCTION}), "holds a Lambda layer, Python code"),
    "Lambda by its own module": (node("keras.src.layers.core.lambda_layer", "Lambda"), "holds a Lambda layer"),
    "__lambda__": (node("builtins", "__lambda__", {"value": "4wAA"}), "holds a __lambda__ layer"),
    "TFSMLayer": (TFSM, "holds a TFSMLayer layer, another file's graph"),
    "TFSMLayer as dltool's": (TFSM | {"registered_name": "dltool>PCAColor"}, "holds a TFSMLayer layer"),
    "TFSMLayer without a module": ({"class_name": "TFSMLayer", "config": {}}, "holds a TFSMLayer layer"),
    "TorchModuleWrapper": (node("keras.layers", "TorchModuleWrapper"), "holds a TorchModuleWrapper layer"),
    "JaxLayer": (node("keras.layers", "JaxLayer"), "holds a JaxLayer layer"),
    "FlaxLayer": (node("keras.layers", "FlaxLayer"), "holds a FlaxLayer layer"),
    "a class as a function": (FUNCTION, "the function keras.layers.TFSMLayer"),
    "get_file": (node("keras.utils", "function", "get_file"), "the function keras.utils.get_file"),
    "load_model": (node("keras.models", "function", "load_model"), "the function keras.models.load_model"),
    "load_model as a class": (node("keras.models", "load_model"), "the class keras.models.load_model"),
    "deserialize": (node("builtins", "function", "deserialize"), "the function builtins.deserialize"),
    "system": (node("os", "function", "system"), "the function os.system"),
    "eval": (node("builtins", "function", "eval"), "the function builtins.eval"),
    "open": (node("builtins", "open"), "the class builtins.open"),
    "Popen": (node("subprocess", "Popen", {"args": "id"}), "the class subprocess.Popen"),
    "a class of dltool by its module": (
        node("dltool.runs.directory", "RunDirectory"), "the class dltool.runs.directory.RunDirectory"),
    "a class that is registered nowhere": (
        node("evil", "Dense", registered_name="evil>Dense"), "the class evil>Dense"),
    "a layer of a package that Keras would import": (node("keras_hub.layers", "X"), "the class keras_hub.layers.X"),
    "a function of a loop": (node("keras.src.ops.core", "Map", {"function": FUNCTION}), "keras.src.ops.core.Map"),
    "a test of Keras": (node("keras.src.utils.jax_layer_test", "X"), "the class keras.src.utils.jax_layer_test.X"),
    "a dotted name": (node("keras", "layers.TFSMLayer"), "the class keras.layers.TFSMLayer"),
    "a typespec": (node("os", "__typespec__", [], spec_name="system", registered_name=None), "os.__typespec__"),
    "a name that is no text": (node("keras.layers", ["Dense"]), "no text"),
    "a module that is no text": (node(["keras"], "Dense"), "no text"),  # type: ignore[arg-type]
    "a registered name that is no text": (node("keras.layers", "Dense", registered_name=["x"]), "no text"),
    "a function that is no text": (node("builtins", "function", ["relu"]), "a function that is no text"),
    "an array of objects": (node(None, "__numpy__", {"value": [1], "dtype": "object"}), 'an array of "object"'),
    "an array of huge items": (node(None, "__numpy__", {"value": [1], "dtype": "V999999999"}), "an array of"),
    "another file's words": (
        node("keras.layers", "StringLookup", {"vocabulary": "/etc/passwd"}), "vocabulary from another file"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_not_on_the_list_is_refused_by_name_before_anything_is_built(
    what: str, saved: Path, tmp_path: Path, never_built: None
) -> None:
    one, words = HOSTILE[what]
    for number, (place, put) in enumerate(PLACES.items()):
        path = rewritten(saved, tmp_path / f"{number}.keras", lambda config, put=put: put(config, one))  # type: ignore[misc]
        with pytest.raises(RefusedModelError) as refused:
            saved_models.load(path)
        assert str(path) in str(refused.value) and words in str(refused.value), (place, str(refused.value))


def test_a_lambda_that_calls_a_saved_graph_is_refused_in_a_list_of_layers(
    saved: Path, tmp_path: Path, never_built: None
) -> None:
    def hostile(config: dict[str, Any]) -> None:
        one = node("keras.layers", "Lambda", {"name": "l", "function": FUNCTION}, name="l")
        config["config"]["layers"][2] = one | {"inbound_nodes": [{"args": [], "kwargs": {"inputs": "hostile/sm"}}]}

    path = rewritten(saved, tmp_path / "hostile.keras", hostile)
    with pytest.raises(DataError, match="holds a Lambda layer, Python code that would run on loading") as refused:
        runs.load_model(path)
    assert refused.value.status == 5


def test_every_file_that_a_model_comes_from_is_read_first(
    saved: Path, tmp_path: Path, never_built: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dltool.filters import checkpoints
    from dltool.library.layers.pretrained import Pretrained
    from dltool.training.procedures.distill import Distill

    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.yaml").write_text("model: []\n")
    hostile = rewritten(saved, run / "model.keras", lambda config: _dense(config).update(TFSM))
    student = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    student.compile("sgd", "mse")

    class Source:
        directory, model = runs.RunDirectory(tmp_path), student

    openings: dict[str, Callable[[], object]] = {
        "a run": runs.RunDirectory(run).load_model,
        "a file": lambda: runs.load_model(hostile),
        "a base": lambda: Pretrained(hostile),
        "a run as a base": lambda: Pretrained(run),
        "a teacher": lambda: Distill(str(hostile)).prepare(student),
        "a teacher opened by a run": lambda: Distill(str(run)).prepare(student, load=runs.load_model),
        "checkpoints": lambda: checkpoints.models(Source()),  # type: ignore[arg-type]
    }
    for what, opening in openings.items():
        with pytest.raises(RefusedModelError, match=r"model\.keras: holds a TFSMLayer"):
            opening()
            pytest.fail(what)


@pytest.mark.parametrize("kind", KINDS)
def test_every_object_that_a_recipe_may_name_is_on_the_list(kind: str) -> None:
    custom = keras.saving.get_custom_objects()
    known = [name for name in catalogue.known(kind) if name not in catalogue.own(kind)]
    assert len(known) > 3
    for name in known:
        namespace = catalogue.KERAS_ELSEWHERE.get((kind, name), f"keras.{kind}")
        assert saved_models._refusal(node(namespace, name, registered_name=None), custom) is None, name
    assert custom
    for name, one in custom.items():
        if name.startswith("dltool>"):
            assert saved_models._refusal(node(one.__module__, one.__name__, registered_name=name), custom) is None


def test_every_function_that_a_recipe_may_name_is_on_the_list() -> None:
    for kind in ("activations", "losses", "metrics"):
        for word in catalogue.words(kind):
            for module in (f"keras.{kind}", "builtins"):
                assert saved_models._refusal(node(module, "function", word, registered_name=word), {}) is None, word


def _texts() -> keras.Model:
    words = layers.TextVectorization(output_mode="tf_idf")
    words.adapt(["a b b", "c a"])
    lookup = layers.StringLookup(vocabulary=["x", "y"], output_mode="one_hot")
    text, letter = keras.Input((1,), dtype="string"), keras.Input((1,), dtype="string")
    return keras.Model([text, letter], [words(text), lookup(letter)])


def _operations() -> keras.Model:
    x = keras.Input((6, 4))
    y = layers.Bidirectional(layers.LSTM(3, return_sequences=True, kernel_regularizer="l2", seed=1))(x)
    y = layers.MultiHeadAttention(2, 3)(y, y) + layers.TimeDistributed(layers.Dense(6))(x)
    y = ops.mean(y[:, :3], axis=1) * 2.0 - ops.cast(ops.sum(x, axis=(1, 2), keepdims=True)[:, 0], "float32")
    y = ops.where(y > 0, ops.nn.relu(y), ops.stop_gradient(y))
    return keras.Model(x, layers.RNN([layers.GRUCell(2), layers.LSTMCell(2)])(layers.Reshape((2, 3))(y)))


def _compiled() -> keras.Model:
    policy = keras.DTypePolicy("mixed_float16")
    norm = layers.Normalization(mean=[1.0, 2.0], variance=[1.0, 4.0])
    dense = layers.SpectralNormalization(layers.Dense(3, kernel_constraint=keras.constraints.MaxNorm(1.0)))
    model = keras.Sequential(
        [keras.Input((2,)), norm, dense, layers.Dropout(0.5, dtype=policy), layers.Activation("gelu")]
    )
    rate = keras.optimizers.schedules.CosineDecay(0.1, 10)
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.AdamW(rate))
    model.compile(
        optimizer,
        keras.losses.mean_squared_error,
        [keras.metrics.AUC(), "accuracy", keras.metrics.MeanMetricWrapper(keras.losses.huber, name="h")],
    )
    model.build()
    return model


@pytest.mark.parametrize(
    ("make", "x"),
    [
        (_texts, lambda: [np.array([["a b"], ["q"]]), np.array([["x"], ["z"]])]),
        (_operations, lambda: np.random.default_rng(1).normal(size=(2, 6, 4)).astype("float32")),
        (_compiled, lambda: np.ones((2, 2), "float32")),
    ],
    ids=["texts", "operations", "compiled"],
)
def test_models_of_kerass_computing_parts_open_as_they_were(
    make: Callable[[], keras.Model], x: Callable[[], Any], tmp_path: Path
) -> None:
    model = make()
    model.save(tmp_path / "model.keras")
    again = saved_models.load(tmp_path / "model.keras")
    tensors = keras.tree.map_structure(ops.convert_to_tensor, x())
    for left, right in zip(keras.tree.flatten(again(tensors)), keras.tree.flatten(model(tensors)), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-6)
    assert again.compiled == model.compiled


@pytest.mark.parametrize("make", ["RandomFlip", "FeatureSpace"])
def test_nested_preprocessing_opens(make: str, tmp_path: Path) -> None:
    if make == "FeatureSpace":
        space = keras.utils.FeatureSpace({"a": "float_normalized", "b": "integer_categorical"}, crosses=[("b", "b")])
    else:
        space = keras.Sequential([keras.Input((4, 4, 1)), layers.Pipeline([layers.RandomFlip(seed=1)])])
        space.save(tmp_path / "model.keras")
        assert saved_models.load(tmp_path / "model.keras").count_params() == 0
        return
    config = keras.saving.serialize_keras_object(space)
    assert list(saved_models._refusals(config, tmp_path)) == []


@pytest.mark.parametrize(
    "name", ["../../evil", "/tmp/evil", "assets/../../evil", "assets\\..\\evil", "evil.py", "assets/../config.json"]
)
def test_files_that_keras_does_not_write_are_refused(name: str, saved: Path, tmp_path: Path, never_built: None) -> None:
    path = rewritten(saved, tmp_path / "model.keras", members={name: b"x"})
    with pytest.raises(RefusedModelError, match="which Keras does not write"):
        saved_models.load(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_and_configurations_without_measure_are_refused(
    saved: Path, tmp_path: Path, never_built: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.keras"
    for depth in (saved_models.DEEPEST + 10, 100_000):
        rewritten(saved, path, text=b"[" * depth + b"]" * depth)
        with pytest.raises(RefusedModelError, match="levels"):
            saved_models.load(path)
    rewritten(saved, path, members={"config.json": b"{}"})
    with pytest.raises(RefusedModelError, match="two files of one name"):
        saved_models.load(path)
    monkeypatch.setattr(saved_models, "LARGEST_CONFIG", 1000)
    rewritten(saved, path)
    with pytest.raises(RefusedModelError, match="more than 1,000 bytes"):
        saved_models.load(path)
    monkeypatch.setattr(saved_models, "SMALL", 1000)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("assets/zeros", bytes(10_000_000))
    with pytest.raises(RefusedModelError, match="would expand to"):
        saved_models.load(path)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"7", b'"Dense"', b"\xff\xfe\x00", b'{"class_name": 1}'])
def test_a_configuration_that_is_none_ends_in_an_error_of_the_file(text: bytes, saved: Path, tmp_path: Path) -> None:
    path = rewritten(saved, tmp_path / "model.keras", text=text)
    with pytest.raises(DataError, match=r"model\.keras: "):
        saved_models.load(path)


def _external_link(file: Any, other: Path) -> None:
    import h5py

    file["layers/dense/vars/1"] = h5py.ExternalLink(other, "/secret")


def _soft_link(file: Any, other: Path) -> None:
    import h5py

    file["layers/dense/vars/1"] = h5py.SoftLink("/layers/dense/vars/0")


def _virtual(file: Any, other: Path) -> None:
    import h5py

    layout = h5py.VirtualLayout((2,), "f4")
    layout[:] = h5py.VirtualSource(other, "secret", (2,))
    file.create_virtual_dataset("layers/dense/vars/1", layout)


def _external_storage(file: Any, other: Path) -> None:
    file.create_dataset("layers/dense/vars/1", (2,), "f4", external=[(str(other), 0, 8)])


@pytest.mark.parametrize("damage", [_external_link, _soft_link, _virtual, _external_storage])
@pytest.mark.parametrize("ending", [".weights.h5", ".keras"])
def test_weights_never_come_from_another_file(damage: Callable[[Any, Path], None], ending: str, tmp_path: Path) -> None:
    import h5py

    other = tmp_path / "secret.h5"
    with h5py.File(other, "w") as file:
        file["secret"] = np.array([41.0, 42.0], "f4")
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    weights = tmp_path / "w.weights.h5"
    model.save_weights(weights)
    with h5py.File(weights, "a") as file:
        del file["layers/dense/vars/1"]
        damage(file, other)
    if ending == ".weights.h5":
        with pytest.raises(RefusedModelError, match=r"layers/dense/vars/1' is an? (link|array)"):
            saved_models.check_hdf5(weights)
        return
    model.save(tmp_path / "whole.keras")
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(tmp_path / "whole.keras") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, weights.read_bytes() if name == "model.weights.h5" else old.read(name))
    with pytest.raises(DataError):  # by Keras, which looks for links itself
        saved_models.load(path)


def test_weights_of_a_loop_of_groups_are_read_once(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "w.weights.h5", "w") as file:
        file["a/b/c"] = np.zeros(3)
        file["a/b/loop"] = file["a"]
    saved_models.check_hdf5(tmp_path / "w.weights.h5")


@pytest.mark.parametrize(
    ("module", "name"),
    [("convnext", "LayerScale"), ("convnext", "StochasticDepth"), ("inception_resnet_v2", "CustomScaleLayer")],
)
def test_layers_of_kerass_applications_are_on_the_list(module: str, name: str) -> None:
    one = node(f"keras.src.applications.{module}", name, registered_name=name)
    assert saved_models._refusal(one, keras.saving.get_custom_objects()) is None


def test_imagenet_nets_take_no_weights_from_a_file_that_leads_to_another(tmp_path: Path) -> None:
    import h5py

    from dltool.library.layers._application_base import with_preprocessing

    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["top_level_model_weights"] = h5py.ExternalLink(tmp_path / "secret.h5", "/")
    with pytest.raises(RefusedModelError, match=r"w\.h5: '/top_level_model_weights' is a link"):
        with_preprocessing(keras.applications.MobileNetV2)(weights=tmp_path / "w.h5")
