"""Variations of a recipe: other initialisers, activations, batch normalisation, depths and widths, combined."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from dltool.errors import Place, UsageError
from dltool.recipe import builder as objects
from dltool.recipe import layer_lists, wiring
from dltool.recipe.layer_lists import Layer, Layers
from dltool.recipe.reading import Recipe
from dltool.recipe.values import Value, from_text, object_name

OPENING, CLOSING = "([{", ")]}"

Change = Callable[[Value], Value]  # of the model's list of layers
Variant = tuple[str, Change]  # its label and what it does


def of(
    recipe: Recipe,
    *,
    compare: Iterable[str] = (),
    activations: Iterable[str] = (),
    batch_norm: Iterable[str] = (),
    depths: Iterable[str | int] = (),
    widths: Iterable[str | int] = (),
) -> list[tuple[str, Recipe]]:
    """Every combination of the options' entries as a recipe with its label, such as "he_normal, depth 30".

    Each argument is a list of entries or of texts with several, separated by commas outside of brackets.

    Args:
        compare: initialisers, for the kernels of all layers, the output layer's and depthwise and pointwise ones
            included; recurrent kernels, biases and embeddings keep theirs.
        activations: for every hidden layer that has one, ReLU and the like as layers included; linear layers
            stay linear, a recurrent layer's gates and softmax stay unchanged.
        batch_norm: "with": a BatchNormalization between each hidden linear map and its activation, where there is
            none yet; "without": none anywhere, and a layer that left the bias to it has its own again.
        depths: how often each outermost `Repeat` repeats its layers; where there is none, how often the longest
            run of equal consecutive layers (or of equal groups of layers) does.
        widths: units or filters of every hidden layer whose number the recipe gives.
        Hidden are all layers before the last with weights; all, if that is a `Repeat`.
    Returns:
        The combinations in the options' order; the recipe itself, under its name, if there is no option.
    Raises:
        UsageError: an entry cannot be read or is given twice, there is no such object, the model has nothing for
            the option to change, or it is no list of layers.
    Limits: it imports Keras where there is an option, so TensorFlow is to be configured before.
    """
    chosen = [
        _depths(recipe, depths),
        _widths(recipe, widths),
        _activations(recipe, activations),
        _initializers(recipe, compare),
        _batch_norm(recipe, batch_norm),
    ]
    if not any(chosen):
        return [(recipe.name, recipe)]
    shown = (3, 2, 4, 0, 1)  # labels name the initialiser first; the changes are made from the depth on
    order = [chosen[index] or [("", _same)] for index in shown]
    found = []
    for combination in itertools.product(*order):
        model = recipe.section("model")
        for _, change in (combination[shown.index(index)] for index in range(len(chosen))):
            model = change(model)
        root = replace(recipe.root, data=MappingProxyType({**recipe.root.data, "model": model}))
        found.append((", ".join(label for label, _ in combination if label), replace(recipe, root=root)))
    return found


def check(*, batch_norm: Iterable[str] = (), depths: Iterable[str] = (), widths: Iterable[str] = ()) -> None:
    """Raise for what can be seen to be wrong without a recipe and without Keras: no numbers, no such words.

    Raises:
        UsageError: an entry cannot be read.
    """
    for option, texts in (("--depths", depths), ("--widths", widths)):
        for text in _parts(option, texts):
            _count(option, text)
    for text in _parts("--batch-norm", batch_norm):
        _check_batch_norm(text)


def split(text: str) -> list[str]:
    """A text's parts between commas that stand in no bracket and no quotes, without outer spaces."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            depth += (character in OPENING) - (character in CLOSING)
        if character == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


# -- the options ---------------------------------------------------------------------------------------


def _initializers(recipe: Recipe, texts: Iterable[str]) -> list[Variant]:
    option = "--compare"
    what = "no layer of the model has a kernel initialiser"
    return [
        (text, _each(recipe, option, layer_lists.initialised, _object(option, "initializers", text), what, all_=True))
        for text in _entries(recipe, option, texts)
    ]


def _activations(recipe: Recipe, texts: Iterable[str]) -> list[Variant]:
    option = "--compare-activation"
    what = "no hidden layer of the model has an activation"
    return [
        (text, _each(recipe, option, layer_lists.activated, _object(option, "activations", text), what))
        for text in _entries(recipe, option, texts)
    ]


def _widths(recipe: Recipe, texts: Iterable[str | int]) -> list[Variant]:
    option = "--widths"
    what = "no hidden layer of the model gives its units or filters as a number"
    return [
        (f"width {text}", _each(recipe, option, layer_lists.resized, _count(option, text), what))
        for text in _entries(recipe, option, texts)
    ]


def _depths(recipe: Recipe, texts: Iterable[str | int]) -> list[Variant]:
    option = "--depths"
    entries = _entries(recipe, option, texts)
    if not entries:
        return []
    model = recipe.section("model")
    repeats = any(layer.name == "Repeat" for value in model.data for layer in layer_lists.every(value))
    run = layer_lists.longest_run(model.data)
    if not repeats and run is None:
        raise UsageError(f"{recipe.file}: {option}: the model has no Repeat and no equal layers in a row to repeat")

    def at_depth(depth: Value) -> Change:
        if repeats:
            return lambda value: layer_lists.changed(value, lambda layer: layer_lists.repeated(layer, depth))
        start, size, times = run  # type: ignore[misc]
        return lambda value: replace(
            value,
            data=value.data[:start]
            + depth.data * value.data[start : start + size]
            + value.data[start + size * times :],
        )

    return [(f"depth {text}", at_depth(_count(option, text))) for text in entries]


def _batch_norm(recipe: Recipe, texts: Iterable[str]) -> list[Variant]:
    option = "--batch-norm"
    with_norm = functools.partial(_with_batch_norm, wiring.outputs(recipe.root) or ())
    found: list[Variant] = []
    for text in _entries(recipe, option, texts):
        _check_batch_norm(text)
        found.append((f"{text} batch norm", with_norm if text == "with" else _without_batch_norm))
    if any(change is with_norm for _, change in found):
        model = recipe.section("model")
        holds = any(object_name(item) == layer_lists.BATCH_NORM for _, item in model.walk())
        if not holds and with_norm(model).plain() == model.plain():
            message = "no hidden layer of the model is a linear map with an activation after it"
            raise UsageError(f"{recipe.file}: {option}: {message}")
    return found


def _with_batch_norm(outputs: Sequence[str], model: Value) -> Value:
    head, tail = layer_lists.hidden(model.data)
    read = {name for entry in wiring.entries(model) for name in entry.names}
    change = functools.partial(layer_lists.normalised, outputs=outputs, read=read)
    inner = layer_lists.relisted(replace(model, data=head), change)
    return replace(model, data=(*inner.data, *tail))


def _without_batch_norm(model: Value) -> Value:
    return layer_lists.relisted(model, layer_lists.unnormalised)


def _same(model: Value) -> Value:
    return model


def _each(
    recipe: Recipe,
    option: str,
    change: Callable[[Layer, Value], Layer | None],
    argument: Value,
    otherwise: str,
    all_: bool = False,
) -> Change:
    """`change` of every hidden layer, or of all layers; an error if the recipe has none that it applies to."""

    outputs = () if all_ else wiring.outputs(recipe.root) or ()

    def change_hidden(layer: Layer) -> Layer | None:
        return None if layer.is_named(outputs) else change(layer, argument)

    def apply(model: Value) -> Value:
        head, tail = (model.data, ()) if all_ else layer_lists.hidden(model.data)
        inner = layer_lists.changed(replace(model, data=head), change_hidden)
        return replace(model, data=(*inner.data, *tail))

    head: Layers = recipe.section("model").data if all_ else layer_lists.hidden(recipe.section("model").data)[0]
    if not any(change_hidden(layer) for value in head for layer in layer_lists.every(value)):
        raise UsageError(f"{recipe.file}: {option}: {otherwise}")
    return apply


# -- entries -------------------------------------------------------------------------------------------


def _entries(recipe: Recipe, option: str, texts: Iterable[Any]) -> list[str]:
    """The option's entries, each once; the recipe's model must then be a list of layers."""
    entries = _parts(option, texts)
    model = recipe.section("model")
    if entries and not model.is_list:
        message = f"varies a list of layers, and this recipe's model is the architecture {object_name(model)}"
        raise UsageError(f"{recipe.file}: {option} {message}")
    return entries


def _parts(option: str, texts: Iterable[Any]) -> list[str]:
    """The option's entries, each once."""
    entries = [part for text in texts for part in split(str(text))]
    for index, entry in enumerate(entries):
        if not entry:
            raise UsageError(f"{option}: an entry is empty in '{','.join(entries)}'")
        if entry in entries[:index]:
            raise UsageError(f"{option}: {entry} is given twice")
    return entries


def _check_batch_norm(text: str) -> None:
    if text not in ("with", "without"):
        raise UsageError(f"--batch-norm: must be with, without or with,without. Got '{text}'.")


def _object(option: str, kind: str, text: str) -> Value:
    """An entry as the value that a recipe would have, checked."""
    value = from_text(text, option)
    builder = objects.Builder(facts=None)
    builder.build(kind, value, option)
    if builder.problems:
        raise UsageError(*(f"{option} {text}: {problem.message}" for problem in builder.problems))
    return value


def _count(option: str, text: str) -> Value:
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise UsageError(f"{option}: must be whole numbers >= 1, such as 5,10,30. Got '{text}'.")
    return Value(int(text), Place(option, 1, 1))
