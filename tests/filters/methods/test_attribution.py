"""Attribution: each method against hand-worked values and axioms, and where its mass lies on data made for it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from dltool.filters.class_logits import ClassLogits
from dltool.filters.deletion import DeletionScore
from dltool.filters.methods import applicable, attribute, explainer, methods
from dltool.filters.randomisation import randomisation, verdicts

SIDE, PATCH = 28, 14


def patches(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noise with one quadrant a bright patch of stripes: images, class (the stripes' direction), patch."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 0.3, (n, SIDE, SIDE, 1)).astype(np.float32)
    y, quadrant = rng.integers(0, 2, n), rng.integers(0, 4, n)
    rows = np.zeros((PATCH, PATCH, 1))
    rows[::2] = 1
    inside = np.zeros((n, SIDE, SIDE), bool)
    for image, kind, where, mask in zip(x, y, quadrant, inside, strict=True):
        top, left = PATCH * np.array(divmod(where, 2))
        image[top : top + PATCH, left : left + PATCH] = rows if kind else rows.transpose(1, 0, 2)
        mask[top : top + PATCH, left : left + PATCH] = True
    return x, y, inside


@pytest.fixture(scope="module")
def trained() -> keras.Model:
    """A net of five layers with weights, its activations kept sparse so that it looks at the patch alone."""
    keras.utils.set_random_seed(1)
    x, y, *_ = patches(1000, 0)
    options = {"padding": "same", "activation": "relu", "activity_regularizer": keras.regularizers.L1(3e-5)}
    options["kernel_regularizer"] = keras.regularizers.L2(1e-3)
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            *(layers.Conv2D(8, 3, **options), layers.Conv2D(8, 3, **options), layers.MaxPooling2D(2)),
            *(layers.Conv2D(16, 3, **options), layers.Conv2D(16, 3, **options), layers.GlobalMaxPooling2D()),
            layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=8, batch_size=32, verbose=0)
    return model


def relu_net(activation: str | None = "softmax") -> keras.Model:
    """Nested, with a residual block and each way to write a ReLU."""
    inner_x = inner_y = keras.Input((6, 6, 4))
    inner_y = layers.ReLU()(layers.Conv2D(4, 3, padding="same")(inner_y))
    inner_y = keras.ops.relu(layers.Conv2D(4, 3, padding="same")(inner_y))
    inner = keras.Model(inner_x, layers.Add()([inner_x, inner_y]), name="inner")
    x = y = keras.Input((6, 6, 2))
    y = layers.Conv2D(4, 3, padding="same", activation="relu")(y)
    y = layers.Activation("relu")(inner(y))
    y = layers.Dropout(0.5)(layers.Flatten()(y))
    return keras.Model(x, layers.Dense(3, activation=activation)(y))


def images(n: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 6, 6, 2)).astype(np.float32)


def test_every_method_is_found() -> None:
    expected = {
        "gradient",
        "smoothgrad",
        "guided",
        "deconvnet",
        "integrated-gradients",
        "grad-cam",
        "occlusion",
    }
    assert set(methods()) == expected


def test_the_net_of_the_patches_knows_them(trained: keras.Model) -> None:
    x, y, *_ = patches(200, 1)
    assert (ClassLogits(trained).predicted(x) == y).mean() >= 0.99


@pytest.fixture(scope="module")
def deletion(trained: keras.Model) -> DeletionScore:
    return DeletionScore(trained)


@pytest.mark.parametrize("method", methods())
def test_more_than_80_percent_of_the_mass_lies_in_the_patch_and_deletion_finds_it(
    method: str, trained: keras.Model, deletion: DeletionScore
) -> None:
    """By each method's default options."""
    x, y, inside = patches(64, 1)
    maps = attribute(trained, x, y, method)
    assert maps.shape == (64, SIDE, SIDE)
    mass = np.abs(maps)
    assert ((mass * inside).sum((1, 2)) / mass.sum((1, 2))).mean() > 0.8
    deleted = deletion(x, y, maps)
    # Three seeds on two processors gave 0.88 to 1. Chance is 0.5, with a standard deviation of 0.06.
    assert (deleted.scores < deleted.random_scores).mean() > 0.75


def test_guided_fails_the_random_weights_check_on_a_bright_patch(trained: keras.Model) -> None:
    """The patch draws the net with a random upper half too, so here the gradient is little better (`randomisation`,
    Limits). Nets of digits set the methods apart: tests/test_attribution_checks.py.
    """
    x, y, _ = patches(16, 1)
    assert verdicts(randomisation(trained, x, y, ["guided"])) == {"guided": "fail"}  # 0.86, the bound is 0.5


@pytest.mark.parametrize("method", methods())
def test_a_map_depends_neither_on_its_batch_nor_on_the_run(method: str) -> None:
    model, x = relu_net(), images()
    explain = explainer(model, method)
    targets = np.array([0, 1, 2, 1, 0])
    whole = explain(x, targets)
    np.testing.assert_array_equal(whole, explain(x, targets))
    np.testing.assert_allclose(whole, explain(x, targets, batch_size=2), atol=1e-5)
    np.testing.assert_allclose(whole[3:4], attribute(model, x[3:4], 1, method), atol=1e-5)
    assert np.isfinite(whole).all() and np.abs(whole).max() > 0


@pytest.fixture(scope="module")
def ends() -> list[keras.Model]:
    """One net that ends in logits, and in a softmax written in three ways."""
    plain = relu_net(None)
    ends = [
        plain,
        relu_net(),
        keras.Sequential([plain, layers.Softmax()]),
        keras.Sequential([plain, layers.Activation("softmax")]),
    ]
    ends[1].set_weights(plain.get_weights())
    return ends


@pytest.mark.parametrize("method", methods())
def test_logits_are_the_same_with_and_without_a_softmax(method: str, ends: list[keras.Model]) -> None:
    expected = attribute(ends[0], images(), 2, method)
    for model in ends[1:]:
        np.testing.assert_allclose(attribute(model, images(), 2, method), expected, atol=1e-6)


def test_the_model_is_as_before() -> None:
    model, x = relu_net(), images()
    before, weights = model(x).numpy(), [w.copy() for w in model.get_weights()]
    activations = [getattr(layer, "activation", None) for layer in model._flatten_layers()]
    for method in methods():
        attribute(model, x, 0, method)
    np.testing.assert_array_equal(model(x).numpy(), before)
    assert all((a == b).all() for a, b in zip(weights, model.get_weights(), strict=True))
    assert [getattr(layer, "activation", None) for layer in model._flatten_layers()] == activations


def test_an_explainer_follows_the_weights() -> None:
    model, x = relu_net(), images()
    explain = explainer(model, "guided")
    before = explain(x, 0)
    model.set_weights([2 * w for w in model.get_weights()])
    assert np.abs(explain(x, 0) - before).max() > 0.1 * np.abs(before).max()


def test_gradient_is_the_largest_weight_of_a_linear_model() -> None:
    model = keras.Sequential([keras.Input((2, 2, 3)), layers.Flatten(), layers.Dense(4)])
    kernel = model.layers[-1].kernel.numpy().reshape(2, 2, 3, 4)
    maps = attribute(model, np.ones((1, 2, 2, 3)), 1, "gradient")
    np.testing.assert_allclose(maps[0], np.abs(kernel[..., 1]).max(-1), rtol=1e-5)


def test_smoothgrad_of_a_linear_model_is_its_gradient_and_its_seed_matters_elsewhere() -> None:
    model = keras.Sequential([keras.Input((2, 2, 3)), layers.Flatten(), layers.Dense(4)])
    x = np.random.default_rng(0).uniform(size=(3, 2, 2, 3))
    np.testing.assert_allclose(
        attribute(model, x, 1, "smoothgrad", samples=5), attribute(model, x, 1, "gradient"), rtol=1e-5
    )
    net = relu_net()
    first, second = (attribute(net, images(), 1, "smoothgrad", samples=5, seed=seed) for seed in (0, 1))
    assert np.abs(first - second).max() > 0


def chain(relu: str) -> keras.Model:
    """z = -relu(x1) + 2 relu(x2) + 3 relu(x3) over four pixels (the fourth unused), ReLU written in several ways."""
    middle = {
        "argument": [layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones", activation="relu")],
        "relu6": [layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones", activation="relu6")],
        "activation": [layers.Activation("relu")],
        "layer": [layers.ReLU()],
        "layer as argument": [layers.Activation(layers.ReLU())],
        "operation": [keras.ops.relu],
    }[relu]
    x = y = keras.Input((2, 2, 1))
    for item in middle:
        y = item(y)
    dense = layers.Dense(2, use_bias=False)
    model = keras.Model(x, dense(layers.Flatten()(y)))
    dense.kernel.assign([[-1.0, 9], [2, 9], [3, 9], [0, 9]])
    return model


@pytest.mark.parametrize("relu", ["argument", "relu6", "activation", "layer", "layer as argument", "operation"])
def test_guided_and_deconvnet_change_every_kind_of_relu(relu: str) -> None:
    x = np.array([5.0, 5, -5, 5]).reshape(1, 2, 2, 1)
    model = chain(relu)
    # gradient: -1 and 2 where x > 0, 3 * 0 where x < 0. Guided: max(0, -1) = 0. Deconvnet: max(0, .) whatever x is.
    for method, expected in {"gradient": [1, 2, 0, 0], "guided": [0, 2, 0, 0], "deconvnet": [0, 2, 3, 0]}.items():
        np.testing.assert_allclose(attribute(model, x, 0, method).ravel(), expected, atol=1e-6)


def test_integrated_gradients_add_up_to_the_logit_s_rise() -> None:
    model, x = relu_net(None), images()
    baseline = np.full((6, 6, 2), 0.1, np.float32)
    rise = model(x).numpy()[:, 2] - model(baseline[None]).numpy()[0, 2]
    maps = attribute(model, x, 2, "integrated-gradients", baseline=baseline, steps=256)
    np.testing.assert_allclose(maps.sum((1, 2)), rise, atol=0.01 * np.abs(rise).max())


def test_integrated_gradients_of_a_square_are_exact_with_few_steps() -> None:
    x = keras.Input((1, 2))
    model = keras.Model(x, keras.ops.square(layers.Flatten()(x)))  # z_i = x_i^2
    maps = attribute(model, [[[3.0, 4]]], 1, "integrated-gradients", steps=2, baseline=1.0)
    np.testing.assert_allclose(maps[0], [[0, 15]], rtol=1e-5)  # 4^2 - 1^2; Gauss-Legendre is exact for a line


def test_grad_cam_by_hand() -> None:
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            layers.Conv2D(2, 1, use_bias=False),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, use_bias=False),
        ]
    )
    model.set_weights([np.array([[[[1.0, -1.0]]]]), np.array([[2.0, 0.0], [1.0, 0.0]])])
    x = np.zeros((1, 4, 4, 1), np.float32)
    x[0, 1, 2], x[0, 3, 3] = 4, -4
    # A = (x, -x); d z_0 / d A_k = (2, 1) / 16 at each position, so the map is ReLU((2 x - x) / 16) = ReLU(x) / 16.
    expected = np.maximum(x[0, ..., 0], 0) / 16
    np.testing.assert_allclose(attribute(model, x, 0, "grad-cam")[0], expected, atol=1e-6)


def test_grad_cam_takes_the_maps_after_the_last_convolution_s_activation() -> None:
    x = y = keras.Input((8, 8, 1))
    y = layers.Conv2D(3, 3, padding="same", name="one")(y)
    y = layers.ReLU(name="used")(layers.BatchNormalization()(y))
    y = layers.Dense(2)(layers.Flatten()(layers.MaxPooling2D(2)(y)))
    model, images = keras.Model(x, y), np.random.default_rng(0).normal(size=(2, 8, 8, 1))
    default, named, other = (
        attribute(model, images, 0, "grad-cam", **o) for o in ({}, {"layer": "used"}, {"layer": "one"})
    )
    np.testing.assert_array_equal(default, named)
    assert np.abs(default - other).max() > 0


def test_occlusion_of_a_linear_model_is_what_each_window_gave() -> None:
    model = keras.Sequential([keras.Input((4, 4, 2)), layers.Flatten(), layers.Dense(3)])
    kernel = model.layers[-1].kernel.numpy()[:, 2].reshape(4, 4, 2)
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 2))
    given = ((x - 0.5) * kernel).sum(-1)  # what covering a pixel by 0.5 takes from the logit
    maps = attribute(model, x, 2, "occlusion", size=1, stride=1, baseline=0.5)
    np.testing.assert_allclose(maps, given, atol=1e-5)
    coarse = attribute(model, x, 2, "occlusion", size=2, stride=2, baseline=0.5)
    np.testing.assert_allclose(
        coarse[:, :2, :2], given[:, :2, :2].sum((1, 2), keepdims=True).repeat(2, 1).repeat(2, 2), atol=1e-5
    )
    overlapping = attribute(model, x, 2, "occlusion", size=3, stride=2, baseline=0.5)  # windows start at 0 and 1
    corners = [given[:, a : a + 3, b : b + 3].sum((1, 2)) for a in (0, 1) for b in (0, 1)]
    np.testing.assert_allclose(overlapping[:, 0, 0], corners[0], atol=1e-5)
    np.testing.assert_allclose(overlapping[:, 1, 1], np.mean(corners, axis=0), atol=1e-5)


def test_one_sigmoid_output_is_two_classes() -> None:
    model = keras.Sequential([keras.Input((3, 3, 1)), layers.Flatten(), layers.Dense(1, activation="sigmoid")])
    kernel = model.layers[-1].kernel.numpy().reshape(3, 3)
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 1))
    for target, sign in ((1, 1), (0, -1)):
        maps = attribute(model, x, target, "integrated-gradients")
        np.testing.assert_allclose(maps, sign * x[..., 0] * kernel, atol=1e-5)


@pytest.mark.parametrize("shape", [(6, 6), (7, 6, 5)])
def test_any_channel_count(shape: tuple[int, ...]) -> None:
    model = keras.Sequential(
        [
            keras.Input(shape),
            layers.Reshape((*shape[:2], -1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    for method in methods():
        assert attribute(model, np.random.default_rng(0).uniform(size=(2, *shape)), 0, method).shape == (2, *shape[:2])


def test_bfloat16_models_give_float32_maps_near_float32_ones() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    low = relu_net(None)
    keras.config.set_dtype_policy("float32")
    full = relu_net(None)
    low.set_weights(full.get_weights())
    for method in ("gradient", "guided", "grad-cam", "occlusion"):
        a, b = (attribute(model, images(), 1, method) for model in (low, full))
        assert a.dtype == np.float32
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.98


def test_a_model_without_relu_or_convolution_says_which_methods_do_not_apply() -> None:
    model = keras.Sequential(
        [keras.Input((3, 3, 1)), layers.Flatten(), layers.Dense(4, activation="tanh"), layers.Dense(2)]
    )
    reasons = applicable(model)
    assert {method for method, reason in reasons.items() if reason} == {"guided", "deconvnet", "grad-cam"}
    with pytest.raises(ValueError, match="has no ReLU, whose gradient this method changes. Use gradient"):
        attribute(model, np.zeros((1, 3, 3, 1)), 0, "guided")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "lime"}, "no attribution method 'lime'. There are deconvnet, grad-cam"),
        ({"samples": 3}, "no option 'samples' of gradient. It has none."),
        ({"method": "smoothgrad", "noise": 0}, "noise > 0. Got 50 and 0."),
        ({"method": "grad-cam", "layer": "x"}, "no layer 'x'. The model has conv2d"),
        ({"method": "grad-cam", "layer": "flatten"}, r"layer 'flatten' gives \(144,\): no maps"),
        ({"method": "occlusion", "size": 9}, "size <= 6. Got 4 and 9."),
        ({"targets": 3}, r"classes in 0..2. Got 3."),
        ({"targets": [0, 1]}, "a class number for each of 5 images"),
        ({"images": np.zeros((5, 6, 6, 3))}, r"images of shape \(6, 6, 2\). Got \(6, 6, 3\)."),
    ],
)
def test_what_does_not_fit_is_said(change: dict, message: str) -> None:
    keras.utils.clear_session(free_memory=False)
    arguments = {"images": images(), "targets": 0, "method": "gradient", **change}
    with pytest.raises(ValueError, match=message):
        attribute(relu_net(), **arguments)


def test_models_that_are_no_image_classifiers_are_refused() -> None:
    words = keras.Sequential([keras.Input((7,)), layers.Dense(2)])
    maps = keras.Sequential([keras.Input((6, 6, 1)), layers.Conv2D(2, 3)])
    for model, message in (
        (words, r"inputs of shape \(7,\): no images"),
        (maps, r"outputs of shape \(4, 4, 2\): no class"),
    ):
        with pytest.raises(ValueError, match=message):
            ClassLogits(model)
