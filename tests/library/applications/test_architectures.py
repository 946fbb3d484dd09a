"""Architectures have the papers' parameters and multiply-adds; those that Keras Applications has are the same."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from dltool.recipe import build, reading
from tests.command_line import run

CIFAR, IMAGENET = "32,32,3", "224,224,3"


@pytest.fixture
def weightless() -> Iterator[None]:
    """Weights have shapes but no values."""
    with keras.StatelessScope(initialize_variables=False):
        yield


def total(capsys: pytest.CaptureFixture[str], name: str, shape: str, classes: int, *overrides: str) -> dict[str, Any]:
    done = run(capsys, "summary", name, *overrides, "--input-shape", shape, "--classes", classes, "--format", "json")
    assert done.status == 0, done.err
    return json.loads(done.out)["total"][0]


def model(name: str, shape: tuple[int, ...], classes: int) -> keras.Model:
    return build.model(reading.load(name), {"input_shape": shape, "num_classes": classes}, None)


def conv(k: int, before: int, after: int, groups: int = 1) -> int:
    """Parameters of a k x k convolution with biases."""
    return k * k * before // groups * after + after


def cifar_resnet(depth: int, option: str) -> int:
    """Trainable parameters by section 4.2: 6n + 2 layers, batch normalisation (2 a channel), no other biases."""
    n = (depth - 2) // 6
    count, before = 9 * 3 * 16 + 2 * 16, 16
    for filters in (16, 32, 64):
        count += 9 * before * filters + (2 * n - 1) * 9 * filters**2 + 2 * n * 2 * filters
        if option == "B" and filters != before:
            count += before * filters + 2 * filters
        before = filters
    return count + 64 * 10 + 10


def test_alexnet_has_the_parameters_of_its_eight_layers(capsys: pytest.CaptureFixture[str]) -> None:
    layers = [conv(11, 3, 96), conv(5, 96, 256, 2), conv(3, 256, 384), conv(3, 384, 384, 2), conv(3, 384, 256, 2)]
    layers += [6 * 6 * 256 * 4096 + 4096, 4096 * 4096 + 4096, 4096 * 1000 + 1000]
    assert sum(layers) == 60_965_224  # Caffe's bvlc_alexnet; the paper: 60 million
    found = total(capsys, "cnn/alexnet", "227,227,3", 1000)
    assert found["parameters"] == sum(layers)
    # a multiply-add for each weight at each position: 55 x 55, 27 x 27, three times 13 x 13, then dense layers
    positions = [55**2, 27**2, *[13**2] * 3, 1, 1, 1]
    biases = [96, 256, 384, 384, 256, 4096, 4096, 1000]
    assert found["multiply_adds"] == sum(p * (c - b) for p, c, b in zip(positions, layers, biases, strict=True))


@pytest.mark.parametrize(("depth", "millions"), [(32, "0.46"), (44, "0.66"), (56, "0.85"), (110, "1.7")])
def test_cifar_resnets_have_the_paper_s_parameters(
    depth: int, millions: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Table 6, option A; option B adds two projections."""
    name = f"cnn/resnet{depth}"
    found = total(capsys, name, CIFAR, 10)["trainable_parameters"]
    assert found == cifar_resnet(depth, "A")
    assert f"{found / 1e6:.{len(millions) - 2}f}" == millions
    projected = total(capsys, name, CIFAR, 10, *(f"model.{at}.Residual.option=B" for at in (5, 7)))
    assert projected["trainable_parameters"] == cifar_resnet(depth, "B")


def test_resnet20_is_resnet32_with_fewer_repeats(capsys: pytest.CaptureFixture[str]) -> None:
    fewer = [f"model.{at}.Repeat.times={times}" for at, times in ((4, 3), (6, 2), (8, 2))]
    found = total(capsys, "cnn/resnet32", CIFAR, 10, *fewer)["trainable_parameters"]
    assert found == cifar_resnet(20, "A") == 269_722  # the paper: 0.27 million


@pytest.mark.parametrize(
    ("name", "trainable", "multiply_adds"),
    [("cnn/resnet18", 11_689_512, 1.8e9), ("cnn/resnet34", 21_797_672, 3.6e9)],
)
def test_imagenet_resnets_have_torchvision_s_parameters_and_the_paper_s_cost(
    name: str, trainable: int, multiply_adds: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counts of torchvision's resnet18 and resnet34 (1,000 classes); table 1 of the paper rounds the cost."""
    found = total(capsys, name, IMAGENET, 1000)
    assert found["trainable_parameters"] == trainable
    assert found["multiply_adds"] == pytest.approx(multiply_adds, rel=0.02)


def test_network_in_network_s_nine_convolutions(capsys: pytest.CaptureFixture[str]) -> None:
    layers = [conv(5, 3, 192), conv(1, 192, 160), conv(1, 160, 96), conv(5, 96, 192), conv(1, 192, 192)]
    layers += [conv(1, 192, 192), conv(3, 192, 192), conv(1, 192, 192), conv(1, 192, 10)]
    assert total(capsys, "cnn/network-in-network", CIFAR, 10)["trainable_parameters"] == sum(layers) == 966_986


def test_all_cnn_c_s_nine_convolutions(capsys: pytest.CaptureFixture[str]) -> None:
    layers = [conv(3, 3, 96), *[conv(3, 96, 96)] * 2, conv(3, 96, 192), *[conv(3, 192, 192)] * 3]
    layers += [conv(1, 192, 192), conv(1, 192, 10)]
    assert total(capsys, "cnn/all-cnn-c", CIFAR, 10)["trainable_parameters"] == sum(layers) == 1_369_738


@pytest.mark.parametrize(
    ("name", "make", "size", "multiply_adds"),
    [
        ("cnn/vgg16", "VGG16", 224, 15.5e9),
        ("cnn/vgg19", "VGG19", 224, 19.6e9),
        ("cnn/resnet50", "ResNet50", 224, 3.8e9),
        ("cnn/mobilenet", "MobileNet", 224, 569e6),
        ("cnn/xception", "Xception", 299, 8.4e9),
    ],
)
def test_nets_of_keras_applications_are_the_same(
    name: str, make: str, size: int, multiply_adds: float, weightless: None
) -> None:
    """Equal weights, shape by shape; costs: VGG, ResNet and MobileNet as published, Xception as widely counted."""
    from dltool.graph.summary import summary

    ours = model(name, (size, size, 3), 1000)
    keras_s = getattr(keras.applications, make)(weights=None)
    if make == "MobileNet":  # Keras's last layer is a 1x1 convolution
        shapes = Counter(w.shape[-2:] if w.shape[:2] == (1, 1) else w.shape for w in keras_s.weights)
        assert Counter(w.shape[-2:] if w.shape[:2] == (1, 1) else w.shape for w in ours.weights) == shapes
    else:
        assert Counter(w.shape for w in ours.weights) == Counter(w.shape for w in keras_s.weights)
    assert ours.count_params() == keras_s.count_params()
    _, found = summary(ours, 1)
    assert found["trainable_parameters"] == sum(math.prod(w.shape) for w in keras_s.trainable_weights)
    assert found["multiply_adds"] == summary(keras_s, 1)[1]["multiply_adds"]
    assert found["multiply_adds"] == pytest.approx(multiply_adds, rel=0.02)


def test_keras_s_weights_give_keras_s_outputs_in_resnet50() -> None:
    """The same function, not only the same sizes; on images of 32 pixels, which the layers allow too."""
    keras_s = keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3), classes=5, classifier_activation=None)
    ours = model("cnn/resnet50", (32, 32, 3), 5)
    given = [layer for layer in keras_s.layers if layer.weights]
    for at, layer in enumerate(given[:-1]):  # Keras makes a block's projection before the rest, here it comes after
        if "_0_" in layer.name:
            given[at : at + 2] = given[at + 1], layer
    taken = [layer for layer in ours.layers if layer.weights]
    assert [type(layer) for layer in taken] == [type(layer) for layer in given]
    for mine, other in zip(taken, given, strict=True):
        mine.set_weights(other.get_weights())
    x = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    normalised = ours.layers[1](x)
    np.testing.assert_allclose(ours(x), keras_s(normalised), rtol=1e-3, atol=1e-4)
