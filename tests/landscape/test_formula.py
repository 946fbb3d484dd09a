"""Formulas: derivatives equal TensorFlow's, slides 61 and 62 have their verdicts, and nothing is run as Python."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from dltool.errors import UsageError
from dltool.landscape.formula import FUNCTIONS, Formula
from dltool.landscape.formula_points import Point, measure

TWINS = {name: getattr(tf.math, name) for name in FUNCTIONS} | {"pi": np.pi, "e": np.e}


def measured(text: str, *place: float, newton: int = 0) -> Point:
    return measure(text, np.array(place), newton=newton, gradient_tolerance=1e-6, zero_tolerance=1e-8)


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("x**3 * y - 2*y/x + 1", (0.7, -1.3)),
        ("2**x + x**y - (x*y)**2.5", (1.2, 0.4)),
        ("(x - 1)**1 + (y + 2)**0 + x**-2", (1.5, -1.0)),
        ("exp(-x*y) * cos(3*y) + sin(x)**2 - tan(x*y)", (0.3, 0.6)),
        ("log(cosh(x)) + sqrt(y) - sinh(x*y) + abs(x - y)", (-0.4, 0.9)),
        ("tanh(sigmoid(x) * pi) + e*sigmoid(-y*x)", (-2.0, 1.5)),
    ],
)
def test_gradient_and_hessian_are_those_of_tensorflow(text: str, point: tuple[float, float]) -> None:
    x, y = tf.Variable(point[0], dtype=tf.float64), tf.Variable(point[1], dtype=tf.float64)
    with tf.GradientTape(persistent=True) as outer:
        with tf.GradientTape() as inner:
            value = eval(text, {"__builtins__": {}}, {**TWINS, "x": x, "y": y})  # the independent twin
        gradient = inner.gradient(value, [x, y], unconnected_gradients="zero")
    rows = [outer.gradient(slope, [x, y], unconnected_gradients="zero") for slope in gradient]
    formula = Formula(text)
    found = formula.expand(point)
    assert formula.names == ["x", "y"]
    assert found.value == pytest.approx(float(value), rel=1e-13)
    assert formula.evaluate([point])[0] == pytest.approx(float(value), rel=1e-13)
    np.testing.assert_allclose(found.gradient, gradient, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(found.hessian, rows, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "verdict", "alpha", "eigenvalues", "neighbours"),
    [
        ("x**2 + y**2", "minimum", 0.0, [2, 2], "higher"),
        ("-(x**2 + y**2)", "maximum", 1.0, [-2, -2], "lower"),
        ("x**2 - y**2", "saddle", 0.5, [-2, 2], "higher and lower"),
        ("x**4 + y**4", "degenerate", 0.0, [0, 0], "higher"),  # slide 62
        ("-(x**4 + y**4)", "degenerate", 0.0, [0, 0], "lower"),
        ("x**3 + y**2", "degenerate", 0.0, [0, 2], "higher and lower"),
        ("x*0 + y*0 + 3", "degenerate", 0.0, [0, 0], "equal"),
    ],
)
def test_the_cases_of_slides_61_and_62(
    text: str, verdict: str, alpha: float, eigenvalues: list[float], neighbours: str
) -> None:
    point = measured(text, 0, 0)
    assert (point.verdict.kind, point.verdict.alpha, point.neighbours) == (verdict, alpha, neighbours)
    np.testing.assert_array_equal(point.eigenvalues, eigenvalues)


def test_the_degenerate_hessian_of_slide_62_is_its_formula() -> None:
    """H of x^4 + y^4 is diag(12 x^2, 12 y^2), of x^3 + y^2 diag(6 x, 2)."""
    np.testing.assert_allclose(Formula("x**4 + y**4").expand((0.5, -2)).hessian, [[3, 0], [0, 48]], rtol=1e-15)
    np.testing.assert_allclose(Formula("x**3 + y**2").expand((0.5, -2)).hessian, [[3, 0], [0, 2]], rtol=1e-15)


def test_powers_are_smooth_where_their_base_is_zero() -> None:
    """(x - 1)^2 + (x - 1)^1 + (x - 1)^0 at 1: value 1, slope 1, curvature 2."""
    found = Formula("+(x - 1)**2 + (x - 1)**1 + (x - 1)**0").expand((1.0,))
    assert (found.value, found.gradient[0], found.hessian[0, 0]) == (1, 1, 2)


def test_a_slope_above_the_tolerance_is_no_critical_point() -> None:
    assert measured("x**2 + y", 0, 0).verdict.kind == "not critical"
    assert measured("x**2 + 1e-7*y", 0, 0).verdict.kind == "degenerate"


def test_newton_reaches_a_quadratics_critical_point_in_one_step_though_it_is_a_saddle() -> None:
    """Slide 81. Gradient (2 (x - 1) + y, x - 2 y) = 0 at x = 0.8, y = 0.4."""
    point = measured("(x - 1)**2 - y**2 + x*y", 9.0, -7.0, newton=5)
    assert len(point.path) == 2 and point.verdict.kind == "saddle"
    np.testing.assert_allclose(point.place, [0.8, 0.4], atol=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__import__('os').system('true')", "has '__import__('os').system('true')', which no formula may hold"),
        ("x.real + y", "has 'x.real'"),
        ("[x for x in (1, 2)]", "which no formula may hold"),
        ("(lambda: x)()", "which no formula may hold"),
        ("x if x else y", "which no formula may hold"),
        ("x^2", "has a '^'. Write ** for powers."),
        ("foo(x)", "has no function 'foo' to call. Functions: abs"),
        ("exp + x", "without an argument"),
        ("sin(x, y)", "has no function 'sin'"),
        ("x +", "is no formula"),
        ("True + x", "has 'True'"),
        ("x + 1j", "has '1j'"),
        ("'a' * x", "has ''a''"),
        ("1" + "0" * 400 + "*x", "which no formula may hold"),
        ("3 + pi", "names no variable"),
        ("-" * 70 + "x", "nested more than 60 levels"),
        ("(" * 300 + "x" + ")" * 300, "is no formula"),
        ("x+" * 600 + "x", "has 1,201 characters"),
    ],
)
def test_what_is_no_formula_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        measured(text, 0.0)
    assert message.replace("has no function 'sin'", "which no formula may hold") in str(raised.value) or (
        message in str(raised.value)
    )


@pytest.mark.parametrize(
    ("text", "place"),
    [("log(x)", -1.0), ("1/x", 0.0), ("sqrt(x)", 0.0), ("abs(x)", 0.0), ("x**1.5", 0.0), ("exp(x)", 1e4),
     ("x**x", -0.5), ("9**9**9**x", 2.0)],
)  # fmt: skip
def test_where_there_is_no_second_derivative_the_point_is_refused(text: str, place: float) -> None:
    with pytest.raises(UsageError, match="is not defined, or not twice differentiable, at x = "):
        measured(text, place)


def test_another_number_of_values_than_variables_is_refused() -> None:
    with pytest.raises(UsageError, match="has the variables a, b; got 1 number"):
        measured("b - a", 1.0)
