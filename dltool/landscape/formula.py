"""Formulas that a user types, with exact gradients and Hessians; nothing of them is run as Python."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

LONGEST, DEEPEST = 1000, 60  # characters and nesting of a formula
CONSTANTS = {"pi": math.pi, "e": math.e}
Function = Callable[[Any], Any]


def _sigmoid(u: Any) -> Any:
    return 0.5 + 0.5 * np.tanh(0.5 * u)


# name -> the function with its first and second derivative
FUNCTIONS: dict[str, tuple[Function, Function, Function]] = {
    "abs": (np.abs, lambda u: u / np.abs(u), lambda u: 0.0),
    "cos": (np.cos, lambda u: -np.sin(u), lambda u: -np.cos(u)),
    "cosh": (np.cosh, np.sinh, np.cosh),
    "exp": (np.exp, np.exp, np.exp),
    "log": (np.log, lambda u: 1 / u, lambda u: -1 / u**2),
    "sigmoid": (
        _sigmoid,
        lambda u: _sigmoid(u) * _sigmoid(-u),
        lambda u: _sigmoid(u) * _sigmoid(-u) * (_sigmoid(-u) - _sigmoid(u)),
    ),
    "sin": (np.sin, np.cos, lambda u: -np.sin(u)),
    "sinh": (np.sinh, np.cosh, np.sinh),
    "sqrt": (np.sqrt, lambda u: 0.5 / np.sqrt(u), lambda u: -0.25 / u**1.5),
    "tan": (np.tan, lambda u: 1 / np.cos(u) ** 2, lambda u: 2 * np.tan(u) / np.cos(u) ** 2),
    "tanh": (np.tanh, lambda u: 1 - np.tanh(u) ** 2, lambda u: -2 * np.tanh(u) * (1 - np.tanh(u) ** 2)),
}
OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)


@dataclass(frozen=True)
class Expansion:
    """A function's second-order expansion at a point: value, gradient (n,), symmetric Hessian (n, n)."""

    value: float
    gradient: np.ndarray
    hessian: np.ndarray

    def __add__(self, other: Expansion) -> Expansion:
        return Expansion(self.value + other.value, self.gradient + other.gradient, self.hessian + other.hessian)

    def __mul__(self, other: Expansion) -> Expansion:
        mixed = np.outer(self.gradient, other.gradient)
        return Expansion(
            self.value * other.value,
            self.value * other.gradient + other.value * self.gradient,
            self.value * other.hessian + other.value * self.hessian + mixed + mixed.T,
        )

    def compose(self, value: float, first: float, second: float) -> Expansion:
        """Return f(u) by the chain rule: f, f' grad u, f' H u + f'' (grad u)(grad u)^T."""
        square = np.outer(self.gradient, self.gradient)
        return Expansion(value, first * self.gradient, first * self.hessian + second * square)


class Formula:
    """A formula of real variables.

    Args:
        text: such as "x**3 + y**2": numbers, names, + - * / **, parentheses and the functions of `FUNCTIONS`.
    Attributes:
        names: of the variables, in alphabetical order.
    Raises:
        ValueError: the text is no formula.
    Limits: at most `LONGEST` characters and `DEEPEST` levels of nesting.
    """

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        self._tree = _parse(self.text)
        names = {node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name)}
        self.names = sorted(names - {*FUNCTIONS} - {*CONSTANTS})
        if not self.names:
            raise ValueError("names no variable. Write one such as x**2 + y**2.")

    def evaluate(self, points: Any) -> np.ndarray:
        """Return the values at many points; NaN or infinite where the formula is not defined.

        Args:
            points: (..., variables), in the order of `names`.
        Returns:
            (...).
        """
        points = np.asarray(points, np.float64)
        with np.errstate(all="ignore"):
            return np.broadcast_to(self._evaluate(self._tree, points), points.shape[:-1])

    def expand(self, point: Any) -> Expansion:
        """Return value, gradient and Hessian at a point, exact to rounding.

        Each part of the formula carries its own expansion, and + * f(.) combine them (forward mode of second order).

        Args:
            point: (variables,).
        Raises:
            ValueError: the formula, its gradient or its Hessian is not defined or not finite there.
        Reference: Griewank & Walther, 2008, Evaluating Derivatives, chapter 13; lecture slide 60.
        """
        values = np.asarray(point, np.float64)
        if values.shape != (len(self.names),):
            given = f"{values.size} number{'s' * (values.size != 1)}"
            raise ValueError(f"has the variables {', '.join(self.names)}; got {given}. Give one number for each.")
        try:
            with np.errstate(all="raise", under="ignore"):
                found = self._expand(self._tree, values)
        except (ArithmeticError, ValueError):
            found = None
        if found is None or not all(np.isfinite(part).all() for part in (found.value, found.gradient, found.hessian)):
            place = ", ".join(f"{name} = {value:g}" for name, value in zip(self.names, values, strict=True))
            raise ValueError(f"is not defined, or not twice differentiable, at {place}. Choose another point.")
        return found

    def _evaluate(self, node: ast.expr, points: np.ndarray) -> Any:
        match node:
            case ast.Constant():
                return float(node.value)  # type: ignore[arg-type]
            case ast.Name():
                return CONSTANTS[node.id] if node.id in CONSTANTS else points[..., self.names.index(node.id)]
            case ast.UnaryOp():
                value = self._evaluate(node.operand, points)
                return -value if isinstance(node.op, ast.USub) else value
            case ast.Call():
                return FUNCTIONS[node.func.id][0](self._evaluate(node.args[0], points))  # type: ignore[attr-defined]
        assert isinstance(node, ast.BinOp)
        left, right = np.float64(self._evaluate(node.left, points)), np.float64(self._evaluate(node.right, points))
        operations = (np.add, np.subtract, np.multiply, np.divide, np.power)
        return operations[OPERATORS.index(type(node.op))](left, right)

    def _expand(self, node: ast.expr, point: np.ndarray) -> Expansion:
        match node:
            case ast.Constant():
                return self._constant(float(node.value))  # type: ignore[arg-type]
            case ast.Name():
                if node.id in CONSTANTS:
                    return self._constant(CONSTANTS[node.id])
                number = self.names.index(node.id)
                return Expansion(point[number], np.eye(point.size)[number], np.zeros((point.size, point.size)))
            case ast.UnaryOp():
                operand = self._expand(node.operand, point)
                return self._constant(-1.0) * operand if isinstance(node.op, ast.USub) else operand
            case ast.Call():
                inner = self._expand(node.args[0], point)
                u = np.float64(inner.value)
                value, first, second = (one(u) for one in FUNCTIONS[node.func.id])  # type: ignore[attr-defined]
                return inner.compose(value, first, second)
        assert isinstance(node, ast.BinOp)
        left, right = self._expand(node.left, point), self._expand(node.right, point)
        match node.op:
            case ast.Add():
                return left + right
            case ast.Sub():
                return left + self._constant(-1.0) * right
            case ast.Mult():
                return left * right
            case ast.Div():
                v = np.float64(right.value)
                return left * right.compose(1 / v, -1 / v**2, 2 / v**3)
        if any(isinstance(inner, ast.Name) and inner.id not in CONSTANTS for inner in ast.walk(node.right)):
            u = np.float64(left.value)  # u**v = exp(v log u)
            product = right * left.compose(np.log(u), 1 / u, -1 / u**2)
            value = np.exp(product.value)
            return product.compose(value, value, value)
        return _power(left, float(right.value))

    def _constant(self, value: float) -> Expansion:
        n = len(self.names)
        return Expansion(value, np.zeros(n), np.zeros((n, n)))


def _power(base: Expansion, exponent: float) -> Expansion:
    """Return u**c: c u**(c-1), c (c-1) u**(c-2); a factor of zero ends the chain, so that x**1 is smooth at 0."""
    first, second = exponent, exponent * (exponent - 1)
    u = np.float64(base.value)
    return base.compose(
        u**exponent,
        first * u ** (exponent - 1) if first else 0.0,
        second * u ** (exponent - 2) if second else 0.0,
    )


def _parse(text: str) -> ast.expr:
    """Return the syntax tree of a formula, of which every node is one that `Formula` computes."""
    if len(text) > LONGEST:
        raise ValueError(f"has {len(text):,} characters. Give at most {LONGEST:,}.")
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError("is no formula. Write one such as x**3 + y**2, with * for products.") from None
    level = [tree]
    for _ in range(DEEPEST):
        level = [child for node in level for child in _children(node)]
        if not level:
            return tree
    raise ValueError(f"is nested more than {DEEPEST} levels deep. Write it with fewer parentheses.")


def _children(node: ast.expr) -> list[ast.expr]:
    """Return the operands of a node, or raise if it is none of a formula's."""
    match node:
        case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
            if math.isfinite(_float(node.value)):  # type: ignore[arg-type]
                return []
        case ast.Name():
            if node.id in FUNCTIONS:
                raise ValueError(f"uses the function '{node.id}' without an argument. Write {node.id}(x).")
            return []
        case ast.UnaryOp(op=ast.UAdd() | ast.USub()):
            return [node.operand]
        case ast.BinOp(op=ast.BitXor()):
            raise ValueError("has a '^'. Write ** for powers.")
        case ast.BinOp() if isinstance(node.op, OPERATORS):
            return [node.left, node.right]
        case ast.Call(func=ast.Name(), args=[ast.expr()], keywords=[]):
            if node.func.id in FUNCTIONS:  # type: ignore[attr-defined]
                return node.args
            name = node.func.id  # type: ignore[attr-defined]
            raise ValueError(f"has no function '{name}' to call. Functions: {', '.join(FUNCTIONS)}.")
    shown = ast.unparse(node)
    shown = shown if len(shown) <= 40 else f"{shown[:40]}..."
    raise ValueError(f"has '{shown}', which no formula may hold. Write numbers, variables, + - * / ** and functions.")


def _float(value: float) -> float:
    """Return a number as a float, infinite if it is too large for one."""
    try:
        return float(value)
    except OverflowError:
        return math.inf
