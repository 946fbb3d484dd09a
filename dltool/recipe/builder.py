"""An object of a recipe: its class by name, its arguments checked against the signature, built."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from dltool.errors import DataError, DltoolError, Place, Problem, RecipeError, one_line, suggest, suggest_or_list
from dltool.recipe import callback_paths, catalogue, declarations, plugins
from dltool.recipe.reading import Recipe, Value, join, object_name
from dltool.recipe.values import OBJECT_NAME, shown
from dltool.recipe.wiring import Entry

EPOCHS = re.compile(r"(\d+(?:\.\d+)?|\.\d+) epochs?")
STEPS_STAND_IN = 1000  # steps an epoch while the data are not known: a part of an epoch is still some steps
KINDS = {  # the key of an argument tells the kind of object it takes
    "activation": "activations",
    "callbacks": "callbacks",
    "dataset": "datasets",
    "inner_optimizer": "optimizers",
    "learning_rate": "schedules",
    "loss": "losses",
    "metric": "metrics",
    "metrics": "metrics",
    "objective": "objectives",
    "optimizer": "optimizers",
    "procedure": "procedures",
    "schedule": "schedules",
    "schedules": "schedules",
    "weighted_metrics": "metrics",
}
SCHEDULED = frozenset({"momentum", "beta_1", "weight_decay"})  # of optimizers, beside the learning rate
EXAMPLES = {
    "activations": "relu",
    "applications": "ResNet50",
    "callbacks": "EarlyStopping",
    "constraints": "MaxNorm",
    "datasets": "Digits",
    "initializers": "HeNormal",
    "layers": "Dense",
    "losses": "MeanSquaredError",
    "metrics": "accuracy",
    "objectives": "Autoencoder",
    "optimizers": "Adam",
    "procedures": "GradientDescent",
    "regularizers": "L2",
    "schedules": "CosineDecay",
}
SUFFIXES = {
    "activation": "activations",
    "constraint": "constraints",
    "initializer": "initializers",
    "regularizer": "regularizers",
}
OUTPUT_ARGUMENTS = callback_paths.ARGUMENTS
BY_OUTPUT = ("losses", "metrics")  # a mapping of output to its own
UNKNOWN = object()  # stands for what depends on a fact of the data that is not known yet


class Builder:
    """Builds values and gathers their problems.

    Args:
        facts: facts of the dataset, or None where they are not known: what depends on them stays `UNKNOWN`.
        steps_per_epoch: what "epochs" of schedules multiply; None where unknown.
        directory: where callbacks write.
        makers: kind -> what makes an object of (class, **arguments), in place of the class itself.
        find: kind and name -> class: `catalogue.find`, or `catalogue.outline` to import nothing heavy.
    """

    def __init__(
        self,
        facts: Mapping[str, Any] | None,
        steps_per_epoch: int | None = None,
        directory: Path | None = None,
        makers: Mapping[str, Callable[..., Any]] | None = None,
        find: Callable[[str, str], Any] = catalogue.find,
    ) -> None:
        self.facts, self.steps_per_epoch, self.directory = facts, steps_per_epoch, directory
        self.makers, self.find = makers or {}, find
        self.problems: list[Problem] = []
        self.outputs: list[callback_paths.Output] = []  # where callbacks write
        self.cause: Exception | None = None  # of the first problem that an exception told of

    def problem(self, place: Place, path: str, message: str) -> Any:
        self.problems.append(Problem(place, path, message))
        return UNKNOWN

    def finish(self) -> None:
        if self.problems:
            raise RecipeError(self.problems) from self.cause

    def attempt(self, action: Callable[[], Any], value: Value, path: str) -> Any:
        """The action's result; what it raises becomes a problem at the value's place."""
        try:
            return action()
        except RecipeError as error:
            self.problems += error.problems
        except (DltoolError, MemoryError):  # unreadable data, a signal: not about the recipe
            raise
        except ConnectionError as error:
            raise DataError(one_line(error)) from error
        except Exception as error:  # whatever a constructor raises is about the value given
            self.cause = self.cause or error
            return self.problem(value.key or value.place, path, plugins.place_in(error) + one_line(error))
        return UNKNOWN

    def listed(self, kind: str, value: Value | None, path: str) -> list[Any]:
        if value is None or value.data is None:
            return []
        return [self.build(kind, item, f"{path}[{index}]") for index, item in enumerate(value.data)]

    def layers(self, entries: Sequence[Entry]) -> list[Any]:
        """Return the layers of a model's list, without their inputs.

        The wiring reports names on layers that take none.
        """
        values = [entry.value if self.takes_name(entry) else entry.without_name() for entry in entries]
        return [self.build("layers", value, entry.at) for value, entry in zip(values, entries, strict=True)]

    def takes_name(self, entry: Entry) -> bool:
        """Return whether a layer takes Keras's argument `name`; composites do not."""
        name = object_name(entry.value)
        kind = "layers" if name is None or catalogue.has("layers", name) else "applications"
        if entry.name is None or name is None or not catalogue.has(kind, name):
            return True
        return "name" in parameters(self.find(kind, name))

    def arguments_of_compile(self, recipe: Recipe) -> dict[str, Any]:
        value = recipe.root["compile"]
        arguments = {}
        for key, item in value.data.items():
            if key not in ("jit_compile", "steps_per_execution"):
                arguments[key] = self._argument(key, item, "", join("compile", key))
        needs = {"optimizer": "Adam", "loss": "MeanSquaredError"}
        if not declarations.uses_optimizer(name := recipe.procedure):
            del needs["optimizer"]
            if (given := value.get("optimizer")) is not None:
                message = f"means nothing to the procedure {name}. Remove it."
                self.problem(given.key or given.place, "compile.optimizer", message)
        for needed, example in needs.items():
            if needed not in arguments or arguments[needed] is None:
                self.problem(
                    value.place if needed not in arguments else value[needed].place,
                    f"compile.{needed}",
                    f"is missing. Name one, such as {example}.",
                )
        return arguments

    def build(self, kind: str, value: Value, path: str) -> Any:
        """Return the object that a value names, or a lower-case string once Keras knows it."""
        if value.reference is not None:
            return self._fact(value, path)
        name = object_name(value)
        if name is None:
            return self._word(kind, value, path)
        if kind == "layers" and not catalogue.has(kind, name) and catalogue.has("applications", name):
            kind = "applications"
        try:
            target = self._application(name) if kind == "applications" else self.find(kind, name)
        except catalogue.UnknownNameError as error:
            place = value.place if not value.is_mapping else value.data[name].key or value.place
            return self.problem(place, path, self._no_such(kind, name) if error.known else str(error))
        path = join(path, name)
        body = value.data[name] if value.is_mapping else None
        before = len(self.problems)
        arguments = self._arguments(kind, target, body, value, path)
        unknown = any(_holds_unknown(argument) for argument in arguments.values())
        learned = kind == "applications" or name in declarations.declared(kind, declarations.LEARNED_FROM)
        if len(self.problems) > before or unknown or (learned and self.facts is None):
            return UNKNOWN  # what may load weights is made once, when the data are known
        make = functools.partial(self.makers[kind], target) if kind in self.makers else target
        return self.attempt(lambda: _construct(make, arguments), value if body is None else body, path)

    def _application(self, name: str) -> Any:
        """An architecture; one of Keras's brings the preprocessing that its weights need."""
        target = self.find("applications", name)
        if not target.__module__.startswith("keras."):
            return target
        from dltool.library.layers._application_base import with_preprocessing

        return with_preprocessing(target)

    def _word(self, kind: str, value: Value, path: str) -> Any:
        """A lower-case name: Keras's own, given to Keras untouched."""
        if not isinstance(value.data, str):
            return self.problem(value.place, path, self._not_an_object(kind, value))
        if kind == "metrics" and value.data in catalogue.METRIC_WORDS:
            return value.data
        if catalogue.is_word(kind, value.data):
            return value.data
        return self.problem(value.place, path, self._no_such(kind, value.data))

    def _arguments(self, kind: str, target: Any, body: Value | None, value: Value, path: str) -> dict[str, Any]:
        """Keyword arguments for a target, each checked against its signature."""
        allowed = parameters(target)
        given: dict[str, Value] = {}
        if body is None or body.data is None:
            pass
        elif is_keywords(kind, body, allowed):
            for key, item in body.data.items():
                if key in allowed:
                    given[key] = item
                else:
                    near = suggest_or_list(key, allowed, "Arguments")
                    self.problem(item.key or item.place, path, f"no argument '{key}'.{near}")
        elif allowed:
            given[next(iter(allowed))] = body
        else:
            self.problem(body.place, path, "takes no arguments")
        missing = [
            name for name, parameter in allowed.items() if parameter.default is parameter.empty and name not in given
        ]
        near_misses = body is not None and body.is_mapping and len(given) < len(body.data)
        if missing and not near_misses:
            listed = ", ".join(f"'{name}'" for name in missing)
            self.problem(value.key or value.place, path, f"missing argument{'s' * (len(missing) > 1)} {listed}")
        arguments = {key: self._argument(key, item, kind, join(path, key)) for key, item in given.items()}
        if kind == "callbacks" and self.directory is not None:
            for key in OUTPUT_ARGUMENTS & allowed.keys() - arguments.keys():
                if isinstance(allowed[key].default, str):
                    default = Value(allowed[key].default, value.place)
                    arguments[key] = self._output(key, default, join(path, key))
        return arguments

    def argument(self, key: str, value: Value, parent: str, path: str) -> Any:
        """One argument's value, for an object of the kind `parent` that is not to be found by its name."""
        return self._argument(key, value, parent, path)

    def _argument(self, key: str, value: Value, parent: str, path: str) -> Any:
        """One argument's value: an object where the key or the form says so, else plain data."""
        if value.reference is not None:
            return self._fact(value, path)
        if parent == "datasets":
            return value.plain()
        if parent == "schedules" and isinstance(value.data, str) and "epoch" in value.data:
            return self._steps(value, path)
        if parent == "callbacks" and callback_paths.is_output(key, path):
            return self._output(key, value, path)
        kind = "schedules" if parent == "optimizers" and key in SCHEDULED else kind_of(key, parent)
        if kind is not None and not (parent == "callbacks" and kind != "schedules"):
            return self._of_kind(kind, value, path)
        name = object_name(value) if value.is_mapping else None
        if name is not None and parent in catalogue.KERAS_NAMESPACES and catalogue.has(parent, name):
            return self.build(parent, value, path)
        if value.is_list:
            return [self._argument("", item, parent, f"{path}[{i}]") for i, item in enumerate(value.data)]
        if value.is_mapping:
            keyed = parent == "procedures"  # stages name their learning rates
            return {
                k: self._argument(str(k) if keyed else "", item, parent, join(path, k))
                for k, item in value.data.items()
            }
        return value.data

    def _steps(self, value: Value, path: str) -> Any:
        """Steps of "12 epochs"."""
        match = EPOCHS.fullmatch(value.data)
        if match is None:
            return self.problem(value.place, path, f"must be steps (an int) or '12 epochs'. Got {value.data!r}.")
        return round(float(match[1]) * (self.steps_per_epoch or STEPS_STAND_IN))

    def _output(self, key: str, value: Value, path: str) -> Any:
        """Return where a callback writes: below the run directory."""
        if value.data is None and key not in OUTPUT_ARGUMENTS:
            return None
        fault = callback_paths.fault(value.data)
        if fault is None and self.directory is not None:
            fault = callback_paths.fault_in(self.directory, key, value.data)
        if fault is not None:
            return self.problem(value.place, path, fault)
        self.outputs.append(callback_paths.Output(path, key, value.data, value.place))
        if path.rpartition(".")[0].endswith("ActivationPercentiles"):  # its picture beside its table
            picture = str(PurePath(value.data).with_suffix(".png"))
            self.outputs.append(callback_paths.Output(path, key, picture, value.place))
        return str((self.directory or Path()) / value.data)

    def _of_kind(self, kind: str, value: Value, path: str) -> Any:
        if value.data is None:
            return None
        if isinstance(value.data, int | float):
            number = kind == "schedules" and not isinstance(value.data, bool)
            return value.data if number else self._word(kind, value, path)
        if value.is_list:
            return [self._of_kind(kind, item, f"{path}[{index}]") for index, item in enumerate(value.data)]
        if (
            value.is_mapping and object_name(value) is None and kind in BY_OUTPUT
        ):  # a dict of outputs, each with its own
            return {key: self._of_kind(kind, item, join(path, key)) for key, item in value.data.items()}
        return self.build(kind, value, path)

    def _fact(self, value: Value, path: str) -> Any:
        if self.facts is None:
            return UNKNOWN
        owner, _, name = (value.reference or "").rpartition(".")
        facts: Mapping[str, Any] = self.facts
        named = {**facts.get("inputs", {}), **facts.get("targets", {})}
        if owner and owner not in named:
            message = f"the data have no input or target '{owner}'.{suggest_or_list(owner, named, 'They have')}"
            return self.problem(value.place, path, message)
        facts = named[owner] if owner else facts
        if name not in facts:
            whose = [f"${{data.{one}.{name}}}" for one, its in named.items() if name in its and not owner]
            if whose:
                return self.problem(value.place, path, f"several have their own {name}: write {' or '.join(whose)}.")
            known = ", ".join(fact for fact in facts if facts[fact] is not None)
            return self.problem(value.place, path, f"the data have no fact '{value.reference}'. They have: {known}.")
        return facts[name]

    def _not_an_object(self, kind: str, value: Value) -> str:
        """Return the remedy for a value that should have named an object."""
        if value.is_mapping and len(value.data) > 1:
            first, *others = map(str, value.data)
            if all(OBJECT_NAME.fullmatch(key) for key in (first, *others)):
                return f"one entry holds {' and '.join((first, *others))}. Begin each with '- '."
            if OBJECT_NAME.fullmatch(first) and value.data[first].data is None:
                return f"indent the arguments of {first} further, or write {first}: {{{others[0]}: ...}}"
        if value.is_mapping and len(value.data) == 1:
            return self._no_such(kind, next(iter(value.data)))
        return f"must name one of the {kind}, such as {EXAMPLES[kind]}. Got {shown(value)}."

    def _no_such(self, kind: str, name: Any) -> str:
        words = catalogue.taken(kind) if str(name).islower() else []
        words = [] if name in words else words  # known, but it takes no arguments: the class does
        near = suggest(name, words) or suggest(name, catalogue.known(kind)) or f" One is {EXAMPLES[kind]}."
        return f"no {catalogue.singular(kind)} named '{name}'.{near}"


def _construct(make: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """The object; Python's own complaints about types also say what was given."""
    try:
        return make(**arguments)
    except TypeError as error:
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise TypeError(f"an argument is of the wrong type ({one_line(error)}). Got {given}.") from error


def is_keywords(kind: str, body: Value, allowed: Mapping[str, Any]) -> bool:
    """Return whether a body is {keyword: value}; a wrapped object ({LSTM: 8}) and all else is the first argument."""
    if not body.is_mapping:
        return False
    name = object_name(body)
    first = next(iter(allowed), None)
    if name is None or name in allowed or first is None or kind == "datasets":
        return True
    return kind_of(first, kind) is None and not catalogue.has(kind, name)


def kind_of(key: str, parent: str = "") -> str | None:
    """The kind of object that an argument of this name takes, None for plain data.

    Args:
        parent: the kind of what takes it.
    """
    if parent in ("objectives", "procedures") and key == "loss":  # a word
        return None
    if key in KINDS:
        return KINDS[key]
    if key in declarations.layer_arguments():
        return None if parent == "procedures" else "layers"  # which name layers of the model
    if parent == "procedures" and key in declarations.model_arguments():
        return "layers"
    return SUFFIXES.get(key.rpartition("_")[2])


def parameters(target: Any) -> dict[str, inspect.Parameter]:
    """Arguments that a class or function takes, its parents' included where it passes **kwargs on."""
    if not inspect.isclass(target):
        return _named(inspect.signature(target))
    found: dict[str, inspect.Parameter] = {}
    for parent in target.__mro__:
        if "__init__" not in vars(parent) or parent is object:
            continue
        signature = inspect.signature(vars(parent)["__init__"])
        inherited = bool(found)  # the class itself fills in what its parents require
        for name, parameter in _named(signature, skip_self=True).items():
            is_filled = inherited and parameter.default is parameter.empty
            found.setdefault(name, parameter.replace(default=None) if is_filled else parameter)
        passes_on = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
        if not passes_on or parent.__module__.endswith("layers.layer"):
            break
    return found


def _named(signature: inspect.Signature, skip_self: bool = False) -> dict[str, inspect.Parameter]:
    items = list(signature.parameters.items())[1 if skip_self else 0 :]
    return {name: p for name, p in items if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}


def _holds_unknown(argument: Any) -> bool:
    if isinstance(argument, list):
        return any(map(_holds_unknown, argument))
    if isinstance(argument, dict):
        return any(map(_holds_unknown, argument.values()))
    return argument is UNKNOWN
