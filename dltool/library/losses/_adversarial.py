"""What two players of an adversarial game minimise, as functions of the discriminator's scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras import ops


@dataclass(frozen=True)
class Game:
    """The losses of a game; scores are float (batch,).

    Args:
        discriminator: (scores of real, scores of made, e) -> loss; e is the one-sided label smoothing.
        generator: scores of made -> loss.
        boundary: a score above it says "real".
        smooths: whether label smoothing means anything.
    """

    discriminator: Callable[[Any, Any, float], Any]
    generator: Callable[[Any], Any]
    boundary: float = 0.0
    smooths: bool = True


def _log_loss(real: Any, made: Any, smoothing: float) -> Any:
    """Return mean of -(1 - e) log sigmoid(real) - e log(1 - sigmoid(real)) - log(1 - sigmoid(made))."""
    of_real = (1 - smoothing) * ops.softplus(-real) + smoothing * ops.softplus(real)
    return ops.mean(of_real + ops.softplus(made))


def _squares(real: Any, made: Any, smoothing: float) -> Any:
    return ops.mean(ops.square(real - (1 - smoothing)) + ops.square(made)) / 2


def _hinges(real: Any, made: Any, smoothing: float) -> Any:
    return ops.mean(ops.relu(1 - real) + ops.relu(1 + made))


GAMES = {
    "non_saturating": Game(_log_loss, lambda made: ops.mean(ops.softplus(-made))),
    "least_squares": Game(_squares, lambda made: ops.mean(ops.square(made - 1)) / 2, boundary=0.5),
    "hinge": Game(_hinges, lambda made: -ops.mean(made), smooths=False),
}
