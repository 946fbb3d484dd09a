"""Every update of lecture slides 66 to 78, worked in NumPy, against Keras's optimizers and RMSpropNesterov."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest

from dltool.library.optimizers.rmsprop_nesterov import RMSpropNesterov

START = np.array([1.5, -0.7, 2.0])
STEPS = 6
RATE, MOMENTUM, RHO = 0.05, 0.75, 0.875  # momentum and rho are sums of powers of 2: Keras casts them from float32
EPSILON = 2.0**-7  # large, so that its place shows
CLOSE = {"rtol": 1e-12, "atol": 1e-14}

Path = np.ndarray  # (steps + 1, weights)


def gradient(w: np.ndarray) -> np.ndarray:
    """Return the gradient of a curved function whose axes have scales of 1, 3 and 0.2."""
    return np.array([1.0, 3.0, 0.2]) * w + 0.5 * np.sin(w[::-1])


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    """Keras keeps learning rates in its float type: in float64, formulas agree to rounding."""
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx("float32")


def by_keras(optimizer: Any, of: Callable[[np.ndarray], np.ndarray] = gradient) -> Path:
    weights = keras.Variable(START)
    path = [START]
    for _ in range(STEPS):
        optimizer.apply([keras.ops.convert_to_tensor(of(path[-1]))], [weights])
        path.append(np.array(weights.numpy()))
    return np.array(path)


def by_hand(update: Callable[[np.ndarray, int], np.ndarray]) -> Path:
    """Return the path of w = update(w, step), steps counted from 1."""
    path = [START]
    for step in range(1, STEPS + 1):
        path.append(update(path[-1], step))
    return np.array(path)


def heavy_ball(w: np.ndarray, state: dict[str, Any]) -> np.ndarray:
    state["v"] = MOMENTUM * state["v"] - RATE * gradient(w)
    return w + state["v"]


def test_gradient_descent_steps_against_the_gradient() -> None:
    """Slide 66: w = w - rate * g."""
    np.testing.assert_allclose(
        by_keras(keras.optimizers.SGD(RATE)), by_hand(lambda w, _: w - RATE * gradient(w)), **CLOSE
    )


def test_momentum_is_the_slides_velocity_added_at_once() -> None:
    """Slide 69: v = momentum * v - rate * g; w = w + v, with the new v.

    The slide prints w(t+1) = w(t) + v(t), the old v; slide 72 and Sutskever's thesis have v(t+1).
    """
    state = {"v": np.zeros(3)}
    expected = by_hand(lambda w, _: heavy_ball(w, state))
    np.testing.assert_allclose(by_keras(keras.optimizers.SGD(RATE, momentum=MOMENTUM)), expected, **CLOSE)


def test_momentum_as_the_slide_prints_it_rests_for_a_step() -> None:
    """The slip: with the old velocity, 0 at first, the first step goes nowhere and later ones lag by one."""
    v, path = np.zeros(3), [START]
    for _ in range(STEPS):
        v, w = MOMENTUM * v - RATE * gradient(path[-1]), path[-1] + v
        path.append(w)
    keras_path = by_keras(keras.optimizers.SGD(RATE, momentum=MOMENTUM))
    np.testing.assert_array_equal(path[1], START)
    np.testing.assert_allclose(path[2], keras_path[1], **CLOSE)
    assert np.abs(path[3] - keras_path[2]).max() > 1e-3


def test_the_sign_of_momentum_is_a_convention() -> None:
    """v = momentum * v + g; w = w - rate * v (PyTorch's) is the same path for a constant rate."""
    state = {"v": np.zeros(3)}

    def update(w: np.ndarray, _: int) -> np.ndarray:
        state["v"] = MOMENTUM * state["v"] + gradient(w)
        return w - RATE * state["v"]

    np.testing.assert_allclose(by_keras(keras.optimizers.SGD(RATE, momentum=MOMENTUM)), by_hand(update), **CLOSE)


def look_ahead(scale: Callable[[np.ndarray], np.ndarray]) -> tuple[Path, Path]:
    """Return the weights of slide 72 and the points at which it takes gradients.

    z = w + momentum * v; v = momentum * v - rate * scale(gradient at z); w = w + v.
    """
    w, v = START, np.zeros(3)
    weights, points = [w], [w]
    for _ in range(STEPS):
        v = MOMENTUM * v - RATE * scale(gradient(w + MOMENTUM * v))
        w = w + v
        weights.append(w)
        points.append(w + MOMENTUM * v)
    return np.array(weights), np.array(points)


def test_kerass_nesterov_is_the_slides_in_the_look_ahead_point() -> None:
    """Slide 72: Keras holds z = w + momentum * v, so that z = z + momentum * v - rate * g."""
    weights, points = look_ahead(lambda g: g)
    found = by_keras(keras.optimizers.SGD(RATE, momentum=MOMENTUM, nesterov=True))
    np.testing.assert_allclose(found, points, **CLOSE)
    assert np.abs(found - weights)[1:].max() > 1e-2, "the two points differ by momentum * v"


def test_the_change_of_variables_gives_back_the_slides_weights() -> None:
    """From Keras's z alone: v_t = (z_t - z_(t-1) + momentum * v_(t-1)) / (1 + momentum), w_t = z_t - momentum * v_t."""
    weights, _ = look_ahead(lambda g: g)
    points = by_keras(keras.optimizers.SGD(RATE, momentum=MOMENTUM, nesterov=True))
    v = np.zeros(3)
    for step in range(1, STEPS + 1):
        v = (points[step] - points[step - 1] + MOMENTUM * v) / (1 + MOMENTUM)
        np.testing.assert_allclose(points[step] - MOMENTUM * v, weights[step], **CLOSE)


def mean_square(rho: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that takes gradients in turn and gives r = rho * r + (1 - rho) * g^2."""
    state = {"r": np.zeros(3)}

    def mean(g: np.ndarray) -> np.ndarray:
        state["r"] = rho * state["r"] + (1 - rho) * g**2
        return state["r"]

    return mean


@pytest.mark.parametrize("epsilon", [0.0, EPSILON])
def test_adagrad_divides_by_the_root_of_the_sum_of_squares(epsilon: float) -> None:
    """Slide 77: r = r + g^2; w = w - rate * g / (epsilon + sqrt(r)).

    Keras divides by sqrt(r + epsilon), and its r begins at 0.1.
    """
    sums = {True: np.zeros(3), False: np.zeros(3)}

    def update(w: np.ndarray, outside: bool) -> np.ndarray:
        sums[outside] = sums[outside] + gradient(w) ** 2
        r = sums[outside]
        return w - RATE * gradient(w) / (epsilon + np.sqrt(r) if outside else np.sqrt(r + epsilon))

    found = by_keras(keras.optimizers.Adagrad(RATE, initial_accumulator_value=0.0, epsilon=epsilon))
    slide = by_hand(lambda w, _: update(w, True))
    np.testing.assert_allclose(found, by_hand(lambda w, _: update(w, False)), **CLOSE)
    assert np.allclose(found, slide, **CLOSE) == (epsilon == 0), "they differ in epsilon alone"
    assert keras.optimizers.Adagrad().initial_accumulator_value == 0.1, "the slide's is 0"


@pytest.mark.parametrize("epsilon", [0.0, EPSILON])
def test_rmsprop_divides_by_the_root_of_the_mean_square(epsilon: float) -> None:
    """Slide 78: w = w - rate * g / (epsilon + sqrt(r)); Keras has epsilon inside the root, RMSpropNesterov outside."""
    inside, outside = mean_square(RHO), mean_square(RHO)
    found = by_keras(keras.optimizers.RMSprop(RATE, rho=RHO, epsilon=epsilon))
    expected = by_hand(lambda w, _: w - RATE * gradient(w) / np.sqrt(inside(gradient(w)) + epsilon))
    np.testing.assert_allclose(found, expected, **CLOSE)
    slide = by_hand(lambda w, _: w - RATE * gradient(w) / (epsilon + np.sqrt(outside(gradient(w)))))
    np.testing.assert_allclose(by_keras(RMSpropNesterov(RATE, rho=RHO, momentum=0.0, epsilon=epsilon)), slide, **CLOSE)
    assert np.allclose(found, slide, **CLOSE) == (epsilon == 0), "they differ in epsilon alone"


def test_kerass_rmsprop_with_momentum_has_the_rate_inside_the_velocity() -> None:
    """v = momentum * v - rate * g / sqrt(r + epsilon); w = w + v."""
    mean, state = mean_square(RHO), {"v": np.zeros(3)}

    def update(w: np.ndarray, _: int) -> np.ndarray:
        state["v"] = MOMENTUM * state["v"] - RATE * gradient(w) / np.sqrt(mean(gradient(w)) + EPSILON)
        return w + state["v"]

    found = by_keras(keras.optimizers.RMSprop(RATE, rho=RHO, momentum=MOMENTUM, epsilon=EPSILON))
    np.testing.assert_allclose(found, by_hand(update), **CLOSE)


def test_rmsprop_with_nesterov_momentum_takes_gradients_ahead() -> None:
    """Slide 6's optimizer, Goodfellow et al., 2016, algorithm 8.6: slide 72 with slide 78's scaled gradient."""
    mean = mean_square(RHO)
    weights, points = look_ahead(lambda g: g / (EPSILON + np.sqrt(mean(g))))
    found = by_keras(RMSpropNesterov(RATE, rho=RHO, momentum=MOMENTUM, epsilon=EPSILON))
    np.testing.assert_allclose(found, points, **CLOSE)
    assert np.abs(found - weights)[1:].max() > 1e-2


def test_the_first_steps_of_rmsprop_with_nesterov_momentum_by_arithmetic() -> None:
    """Gradient 2 twice, rate 0.1, rho 0.75, momentum 0.5, epsilon 0.

    Step 1: r = 0.25 * 4 = 1; scaled = 0.1 * 2 / 1 = 0.2; v = -0.2; z = 1 + 0.5 * -0.2 - 0.2 = 0.7.
    Step 2: r = 0.75 + 1 = 1.75; scaled = 0.2 / sqrt(1.75); v = -0.1 - scaled; z = 0.7 - 0.05 - 1.5 * scaled.
    """
    optimizer, weight = RMSpropNesterov(0.1, rho=0.75, momentum=0.5, epsilon=0.0), keras.Variable(np.ones(1))
    optimizer.apply([keras.ops.convert_to_tensor([2.0])], [weight])
    np.testing.assert_allclose(weight.numpy(), [0.7], **CLOSE)
    optimizer.apply([keras.ops.convert_to_tensor([2.0])], [weight])
    np.testing.assert_allclose(weight.numpy(), [0.65 - 1.5 * 0.2 / np.sqrt(1.75)], **CLOSE)


def test_adadelta_needs_no_rate() -> None:
    """Zeiler, 2012, algorithm 1, RMS(x) = sqrt(E[x^2] + epsilon): Keras with a rate of 1; its default is 0.001."""
    rho, epsilon = 0.9375, 2.0**-20
    mean, state = mean_square(rho), {"d": np.zeros(3)}

    def update(w: np.ndarray, _: int) -> np.ndarray:
        change = -np.sqrt(state["d"] + epsilon) / np.sqrt(mean(gradient(w)) + epsilon) * gradient(w)
        state["d"] = rho * state["d"] + (1 - rho) * change**2
        return w + change

    found = by_keras(keras.optimizers.Adadelta(1.0, rho=rho, epsilon=epsilon))
    np.testing.assert_allclose(found, by_hand(update), **CLOSE)
    assert float(keras.optimizers.Adadelta().learning_rate) == 0.001


@pytest.mark.parametrize("hat", [True, False])
def test_adam_is_algorithm_1_with_the_epsilon_of_section_2(hat: bool) -> None:
    """Kingma & Ba, 2015: w -= rate * m_hat / (sqrt(v_hat) + epsilon), m_hat = m / (1 - b1^t), v_hat = v / (1 - b2^t).

    Keras's epsilon is the paper's epsilon hat: algorithm 1's times sqrt(1 - b2^t), which grows with t.
    """
    b1, b2, epsilon = RHO, 1 - 2.0**-10, EPSILON
    mean, state = mean_square(b2), {"m": np.zeros(3)}

    def update(w: np.ndarray, t: int) -> np.ndarray:
        state["m"] = b1 * state["m"] + (1 - b1) * gradient(w)
        m_hat, v_hat = state["m"] / (1 - b1**t), mean(gradient(w)) / (1 - b2**t)
        return w - RATE * m_hat / (np.sqrt(v_hat) + (epsilon / np.sqrt(1 - b2**t) if hat else epsilon))

    found = by_keras(keras.optimizers.Adam(RATE, beta_1=b1, beta_2=b2, epsilon=epsilon))
    assert np.allclose(found, by_hand(update), **CLOSE) == hat


def test_nadam_is_no_rmsprop_with_nesterov_momentum() -> None:
    """Dozat's Nadam looks ahead too, but corrects both means for their beginning at 0: another path."""
    nadam = by_keras(keras.optimizers.Nadam(RATE, beta_1=MOMENTUM, beta_2=RHO))
    assert np.abs(nadam - by_keras(RMSpropNesterov(RATE, rho=RHO, momentum=MOMENTUM)))[1:].max() > 1e-2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rho": 1.0}, r"The 'rho' parameter of RMSpropNesterov must be a fraction in the range \[0.0, 1.0\). Got 1.0"),
        ({"momentum": -0.1}, "The 'momentum' parameter of RMSpropNesterov must be a fraction"),
        ({"epsilon": -1e-8}, "The 'epsilon' parameter of RMSpropNesterov must be a finite number >= 0.0. Got -1e-08"),
    ],
)
def test_values_out_of_range_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RMSpropNesterov(**arguments)
