"""The common base of composite layers: lists of layers wired into a graph of ordinary Keras layers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any


class Composite(ABC):
    """Wiring: called on a symbolic tensor it applies its layers and gives their output.

    It is no Keras layer itself and leaves no trace in the model, whose file therefore opens without dltool.
    """

    @abstractmethod
    def __call__(self, x: Any) -> Any:
        """Return the output of the wired layers for x, both symbolic tensors."""

    @abstractmethod
    def copy(self) -> Composite:
        """Return the same wiring of fresh layers."""


def apply(layers: Sequence[Any], x: Any, *where: str | int) -> Any:
    """Return the output of layers called one after another.

    An exception leaves with an attribute `wired`: `where` and the number of the layer that raised it, then, if that is
    itself a wiring, the same inside it.

    Args:
        where: the argument that holds the layers, with a number if it is a list of lists.
    """
    for number, layer in enumerate(layers):
        try:
            x = layer(x)
        except Exception as error:
            error.wired = [*where, number, *getattr(error, "wired", [])]  # type: ignore[attr-defined]
            raise
    return x


def copied(layers: Sequence[Any]) -> list[Any]:
    """Return layers of the same configurations with names and weights of their own."""
    return [layer.copy() if isinstance(layer, Composite) else fresh(layer) for layer in layers]


def checked(owner: str, argument: str, layers: Any) -> list[Any]:
    """Return a list of layers, checked.

    Raises:
        ValueError: it is no list of Keras layers and composites.
    """
    import keras

    items = list(layers) if isinstance(layers, list | tuple) else [layers]
    for item in items:
        if not isinstance(item, keras.layers.Layer | Composite):
            raise ValueError(f"The '{argument}' parameter of {owner} must be a list of layers. Got {item!r}.")
    return items


def refuse_learned(layer: Any) -> None:
    """Raise ValueError if a layer is pre-trained: a copy of the same configuration would have learned nothing."""
    if any(getattr(weight, "learned", False) for weight in getattr(layer, "weights", ())):
        raise ValueError(f"'{layer.name}' is pre-trained, and copies of it would have none of what it has learned. "
                         "Put it outside of the repeated layers.")  # fmt: skip


def fresh(layer: Any, name: str | None = None) -> Any:
    """Return a layer of the same configuration. Wrapped layers lose their names too, so that each copy has its own."""
    import keras

    refuse_learned(layer)

    if isinstance(layer, keras.Sequential):
        return keras.Sequential(copied(layer.layers), name=name)
    return type(layer).from_config(_nameless(layer.get_config()) | ({"name": name} if name else {}))


def _nameless(config: Any) -> Any:
    """Return the configuration without the names of layers; a dtype policy keeps its name."""
    if isinstance(config, dict):
        return {key: value if key == "dtype" else _nameless(value) for key, value in config.items() if key != "name"}
    return [_nameless(item) for item in config] if isinstance(config, list | tuple) else config
