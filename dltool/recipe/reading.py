"""Recipes: a file, what it extends and overrides become one checked mapping of values with places."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dltool.errors import Place, Problem, RecipeError, UsageError, suggest, suggest_or_list
from dltool.recipe import declared_facts, stages, wiring
from dltool.recipe import overrides as overriding
from dltool.recipe.values import Value, from_text, join, object_name, shown, to_text

__all__ = ["Recipe", "Value", "bundled", "bundled_names", "chain", "find", "from_text", "join", "load",
           "merge", "object_name", "purpose"]  # fmt: skip

STANDARD_INPUT = Path("-")  # what stands for it in place of a recipe's file
MAX_BYTES = 250_000  # a recipe is 1 to 5 kB
MAX_EXTENDS = 16
LARGEST = 2**31 - 1  # of counts: TensorFlow's loops count in 32 bits

COMPILE_KEYS = ("optimizer", "loss", "loss_weights", "metrics", "weighted_metrics", "run_eagerly",
                "steps_per_execution", "jit_compile", "auto_scale_loss")  # fmt: skip
FIT_KEYS = ("epochs", "batch_size", "batch_tokens", "callbacks", "shuffle", "class_weight", "steps_per_epoch",
            "validation_steps", "validation_batch_size", "validation_freq")  # fmt: skip
DATA_KEYS = ("dataset", "classes", "examples_per_class", "validation_split", "test_split", "split_seed", "augment",
             "declared", "targets", "inputs")  # fmt: skip
TOP_KEYS = ("extends", "data", "model", "outputs", "compile", "fit", "procedure", "select", "seed", "deterministic",
            "dtype_policy")  # fmt: skip
WITHOUT_FACTS = ("data.dataset", "data.declared", "fit.callbacks")  # made before the data are read
MOVED = {  # arguments of keras.Model.fit that have another home here
    "fit.x": "name the data under data.dataset",
    "fit.y": "name the data under data.dataset",
    "fit.validation_data": "name the data under data.dataset",
    "fit.validation_split": "it belongs under data: (data.validation_split)",
    "fit.sample_weight": "use fit.class_weight",
    "fit.initial_epoch": "use dltool train --resume",
    "fit.verbose": "use dltool train --quiet",
}


@dataclass(frozen=True)
class Recipe:
    """A recipe, resolved: `extends` merged and overrides applied.

    Args:
        root: the whole mapping.
        file: the file it was read from.
        purpose: the first line of the file's leading comment.
    """

    root: Value
    file: str
    purpose: str

    @property
    def name(self) -> str:
        return "recipe" if self.file == str(STANDARD_INPUT) else Path(self.file).stem

    def get(self, *keys: Any) -> Value | None:
        return self.root.get(*keys)

    def section(self, *keys: Any) -> Value:
        """The value below `keys`, which checking has seen to be there."""
        value = self.root
        for key in keys:
            value = value[key]
        return value

    def setting(self, *keys: Any, default: Any = None) -> Any:
        """A plain value below `keys`, or `default`."""
        value = self.root.get(*keys)
        return default if value is None else value.plain()

    @property
    def epochs(self) -> int:
        """Epochs of the whole training."""
        return stages.epochs(self.root)

    @property
    def procedure(self) -> str | None:
        """The name of the way to fit, None for the default one."""
        value = self.root.get("procedure")
        return None if value is None else object_name(value)

    def plain(self) -> dict[str, Any]:
        found: dict[str, Any] = self.root.plain()
        return found

    def to_yaml(self) -> str:
        """The resolved recipe as YAML text that loads to the same values."""
        return to_text(self.plain())


def load(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a file, of standard input ("-") or a bundled one by name, with `key=value` overrides applied.

    Raises:
        RecipeError: everything that can be seen to be wrong without Keras, each with its place.
        UsageError: there is no such recipe.
    """
    recipe, problems = read(source, overrides)
    if problems:
        raise RecipeError(problems)
    return recipe


def read(source: str | Path, overrides: Sequence[str] = ()) -> tuple[Recipe, list[Problem]]:
    """Load a recipe as `load` does, but return mistakes of its outer form instead of raising them."""
    path = find(source)
    problems: list[Problem] = []
    try:
        root = _read_extended(path, ())
    except RecipeError as error:
        raise RecipeError([*error.problems, *overriding.unreadable(overrides)]) from error
    for number, override in enumerate(overrides, start=1):
        try:
            root = overriding.apply(root, override, number)
        except RecipeError as error:
            problems += error.problems
    return Recipe(root, str(path), purpose(path)), problems + check(root)


def bundled() -> Path:
    """Return the folder of bundled recipes: inside the installed package, or next to it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "_recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def bundled_names() -> list[str]:
    folder = bundled()
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def find(source: str | Path) -> Path:
    """A recipe's file: `source` itself, "-" for standard input, or the bundled recipe of that name."""
    path = Path(source)
    if path == STANDARD_INPUT or holds(path.is_file):
        return path
    name = path.with_suffix("").as_posix() if path.suffix in (".yaml", ".yml") else path.as_posix()
    if name.startswith("recipes/") and name not in bundled_names():
        name = name.removeprefix("recipes/")
    if name in bundled_names():
        return bundled() / f"{name}.yaml"
    if holds(path.is_dir):
        raise UsageError(
            f"{source}: is a folder without a recipe.yaml. Give a recipe's file, a run directory or a name."
        )
    raise UsageError(
        f"{source}: no such recipe.{suggest(name, bundled_names())} 'dltool recipes' lists the bundled ones."
    )


def holds(test: Callable[[], bool]) -> bool:
    """A path's `is_file` or `is_dir`; False also for what cannot be a path, such as a very long text."""
    try:
        return test()
    except OSError:
        return False


def purpose(path: Path) -> str:
    """The first line of a recipe's leading comment."""
    for line in _read_bytes(path).decode("utf-8-sig").splitlines():
        if line.startswith("#"):
            return line.lstrip("# ").strip()
        if line.strip() not in ("", "---"):
            break
    return ""


# -- reading -------------------------------------------------------------------------------------------


@functools.cache
def _read_standard_input() -> bytes:
    return sys.stdin.buffer.read(MAX_BYTES + 1)  # it can be read once only, a recipe is asked for several times


def _read_bytes(path: Path) -> bytes:
    return _read_standard_input() if path == STANDARD_INPUT else path.read_bytes()


def _read_file(path: Path) -> Value:
    file = "standard input" if path == STANDARD_INPUT else str(path)
    try:
        raw = _read_bytes(path)
        if len(raw) > MAX_BYTES:
            raise RecipeError([Problem(Place(file, 1, 1), "", f"is larger than {MAX_BYTES:,} bytes: not a recipe")])
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8")
        place = Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise RecipeError([Problem(place, "", "not UTF-8 text. Save the recipe as UTF-8.")]) from None
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    root = from_text(text, file)
    if not root.is_mapping:
        raise RecipeError(
            [Problem(root.place, "", "a recipe is a mapping of keys such as data:, model:, compile:, fit:")]
        )
    return root


def _read_extended(path: Path, seen: tuple[Path, ...]) -> Value:
    root = _read_file(path)
    base = root.get("extends")
    if base is None:
        return root
    here = (*seen, path.resolve())
    base_path = _base(path, base)
    if base_path.resolve() in here:
        raise RecipeError([Problem(base.place, "extends", f"{base.data} extends this recipe again")])
    if len(here) > MAX_EXTENDS:
        raise RecipeError(
            [Problem(base.place, "extends", f"more than {MAX_EXTENDS} recipes extend each other in turn")]
        )
    return merge(_read_extended(base_path, here), _without(root, "extends"))


def chain(path: Path) -> list[Path]:
    """A recipe's file and those it extends, in turn."""
    files = [path]
    while (base := _read_file(files[-1]).get("extends")) is not None and len(files) <= MAX_EXTENDS:
        files.append(_base(files[-1], base))
    return files


def _base(path: Path, base: Value) -> Path:
    """Return the file that `extends` names: in the recipe's folder, otherwise a bundled one."""
    if not isinstance(base.data, str):
        message = f"must be a recipe's path or bundled name. Got {shown(base)}."
        raise RecipeError([Problem(base.place, "extends", message)])
    beside = path.parent / base.data
    try:
        if not holds(beside.is_file):
            return find(base.data)
    except UsageError as error:
        raise RecipeError([Problem(base.place, "extends", str(error))]) from None
    lexical = Path(os.path.normpath(beside))  # recipes/mlp/base.yaml, not recipes/cnn/../mlp/base.yaml
    return lexical if holds(lexical.is_file) and lexical.samefile(beside) else beside.resolve()


def _without(root: Value, key: str) -> Value:
    return replace(root, data=MappingProxyType({k: v for k, v in root.data.items() if k != key}))


def merge(base: Value, over: Value) -> Value:
    """`over` on top of `base`: mappings merge deeply, everything else is replaced.

    An object (`SGD: {...}`) merges only with an object of the same name and replaces any other.
    """
    if not (base.is_mapping and over.is_mapping):
        return over
    names = object_name(base), object_name(over)
    if any(names) and names[0] != names[1]:
        return over
    merged = dict(base.data)
    for key, value in over.data.items():
        merged[key] = merge(merged[key], value) if key in merged else value
    return Value(MappingProxyType(merged), over.place, over.key or base.key)


# -- what can be checked without Keras -----------------------------------------------------------------


def check(root: Value) -> list[Problem]:
    """Problems of the recipe's outer form: unknown keys, wrong types, ill-formed references."""
    problems = _unknown(root, "", TOP_KEYS)
    for name, keys in (
        ("data", DATA_KEYS),
        ("compile", COMPILE_KEYS),
        ("fit", FIT_KEYS),
        ("select", ("monitor", "mode")),
    ):
        section = root.get(name)
        if section is None:
            continue
        if section.is_mapping:
            problems += _unknown(section, name, keys)
        else:
            problems.append(
                Problem(section.place, name, f"must be a mapping of {', '.join(keys)}. Got {shown(section)}.")
            )
    for name in ("data", "model", "compile"):
        if name not in root.data:
            problems.append(Problem(root.place, name, "is missing"))
    if (data := root.get("data")) is not None and data.is_mapping and "dataset" not in data.data:
        problems.append(Problem(data.place, "data.dataset", "is missing. Name a dataset, such as Digits."))
    for path, test, wanted in _SCALARS:
        value = root.get(*path)
        if value is not None and not test(value.data):
            is_large = isinstance(value.data, int) and value.data > LARGEST and wanted.startswith("an int >=")
            limit = f"at most {LARGEST}" if is_large else wanted
            problems.append(Problem(value.place, ".".join(path), f"must be {limit}. Got {shown(value)}."))
    problems += stages.check(root)
    problems += declared_facts.check(root)
    select = root.get("select")
    if select is not None and select.is_mapping and "monitor" not in select.data:
        problems.append(Problem(select.place, "select.monitor", "is missing. Name a metric, such as val_accuracy."))
    model = root.get("model")
    if model is not None and not (model.is_list and model.data) and object_name(model) is None:
        message = f"must be a list of layers or one named architecture. Got {shown(model)}."
        problems.append(Problem(model.place, "model", message))
    problems += wiring.check(root)
    for at, value in root.walk():
        if not isinstance(value.data, str) or "${" not in value.data:
            continue
        if value.reference is None:
            message = f"{value.data!r}: a reference is a whole value and reads ${{data.FACT}}"
            problems.append(Problem(value.place, at, message))
        elif at.startswith(WITHOUT_FACTS):
            message = f"{value.data}: facts of the data stand in model, compile, procedure and data.augment only"
            problems.append(Problem(value.place, at, message))
    return problems


def _unknown(section: Value, path: str, known: Sequence[str]) -> list[Problem]:
    problems = []
    for key, value in section.data.items():
        if key not in known:
            full = join(path, key)
            moved = f" {MOVED[full][0].upper()}{MOVED[full][1:]}." if full in MOVED else ""
            message = f"unknown key.{moved or suggest_or_list(key, known)}"
            problems.append(Problem(value.key or value.place, full, message))
    return problems


def _is_int(low: int, high: int = LARGEST) -> Callable[[Any], bool]:
    return lambda data: isinstance(data, int) and not isinstance(data, bool) and low <= data <= high


def _is_bool(data: Any) -> bool:
    return isinstance(data, bool)


def _is_fraction(data: Any) -> bool:
    return isinstance(data, int | float) and not isinstance(data, bool) and 0 <= data < 1


def _is_word(data: Any) -> bool:
    return isinstance(data, str)


def _or_none(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda data: data is None or test(data)


def _is_classes(data: Any) -> bool:
    items = [item.data for item in data] if isinstance(data, tuple) else []
    return len(items) > 1 and all(isinstance(item, int | str) and not isinstance(item, bool) for item in items)


def _is_noise(data: Any) -> bool:
    if not isinstance(data, Mapping) or not {"noise"} <= data.keys() <= {"noise", "classes"}:
        return False
    return _is_int(1)(data["noise"].data) and ("classes" not in data or _is_bool(data["classes"].data))


_SCALARS: tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...] = (
    (("seed",), _is_int(0, 2**32 - 1), "an int from 0 to 4294967295"),
    (("deterministic",), _is_bool, "true or false"),
    (("dtype_policy",), _is_word, "a dtype policy's name, such as mixed_bfloat16"),
    (("data", "validation_split"), _is_fraction, "a fraction in [0, 1)"),
    (("data", "test_split"), _is_fraction, "a fraction in [0, 1)"),
    (("data", "split_seed"), _is_int(0), "an int >= 0"),
    (("data", "classes"), _or_none(_is_classes), "a list of at least 2 classes, numbers or names"),
    (("data", "examples_per_class"), _or_none(_is_int(1)), "an int >= 1"),
    (("data", "targets"), _or_none(lambda data: data == "inputs"), "inputs"),
    (("data", "inputs"), _or_none(_is_noise), "{noise: N} with an int N >= 1, and classes: true or false if wanted"),
    (("data", "augment"), _or_none(lambda data: isinstance(data, tuple)), "a list of layers"),
    (("fit", "epochs"), _is_int(1), "an int >= 1"),
    (("fit", "batch_size"), _is_int(1), "an int >= 1"),
    (("fit", "batch_tokens"), _or_none(_is_int(1)), "an int >= 1"),
    (("fit", "shuffle"), _is_bool, "true or false"),
    (("fit", "callbacks"), _or_none(lambda data: isinstance(data, tuple)), "a list of callbacks"),
    (
        ("fit", "class_weight"),
        _or_none(lambda data: isinstance(data, Mapping) or data == "balanced"),
        "a mapping of class (name or number) to weight, or balanced",
    ),
    (("fit", "steps_per_epoch"), _or_none(_is_int(1)), "an int >= 1"),
    (("fit", "validation_steps"), _or_none(_is_int(1)), "an int >= 1"),
    (("fit", "validation_batch_size"), _or_none(_is_int(1)), "an int >= 1"),
    (("fit", "validation_freq"), _is_int(1), "an int >= 1"),
    (("compile", "steps_per_execution"), lambda data: data == "auto" or _is_int(1)(data), "an int >= 1 or auto"),
    (("compile", "jit_compile"), lambda data: data == "auto" or _is_bool(data), "true, false or auto"),
    (("compile", "run_eagerly"), _is_bool, "true or false"),
    (("compile", "auto_scale_loss"), _is_bool, "true or false"),
    (("select", "monitor"), _is_word, "a metric's name, such as val_accuracy"),
    (("select", "mode"), lambda data: data in ("min", "max"), "min or max"),
)
