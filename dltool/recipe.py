"""Recipes: YAML text, `extends` and overrides become plain frozen data that knows where each value stands."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from dltool.errors import Place, Problem, RecipeError, UsageError

MAX_BYTES = 1_000_000
MAX_DEPTH = 64
MAX_VALUES = 100_000  # aliases count each time they are used: a "billion laughs" file stops here
MAX_EXTENDS = 16

REFERENCE = re.compile(r"\$\{data\.([A-Za-z_]\w*)\}")

COMPILE_KEYS = ("optimizer", "loss", "loss_weights", "metrics", "weighted_metrics", "run_eagerly",
                "steps_per_execution", "jit_compile", "auto_scale_loss")  # fmt: skip
FIT_KEYS = ("epochs", "batch_size", "callbacks", "shuffle", "class_weight", "steps_per_epoch",
            "validation_steps", "validation_batch_size", "validation_freq")  # fmt: skip
DATA_KEYS = ("dataset", "validation_split", "test_split", "split_seed", "augment")
TOP_KEYS = ("extends", "data", "model", "compile", "fit", "procedure", "select", "seed", "deterministic",
            "dtype_policy")  # fmt: skip
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
class Value:
    """A value of a recipe and where it stands.

    Args:
        data: None, a bool, int, float or str; a tuple of `Value`; or a read-only mapping of key to `Value`.
        place: where the value itself starts.
        key: where the key that leads to it starts, None in lists and at the root.
    """

    data: Any
    place: Place
    key: Place | None = field(default=None, compare=False)

    def __getitem__(self, key: Any) -> Value:
        return self.data[key]

    def get(self, *keys: Any) -> Value | None:
        """The value below `keys`, or None where there is none."""
        value: Value | None = self
        for key in keys:
            if value is None or not value.is_mapping or key not in value.data:
                return None
            value = value.data[key]
        return value

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.data, Mapping)

    @property
    def is_list(self) -> bool:
        return isinstance(self.data, tuple)

    @property
    def reference(self) -> str | None:
        """The fact's name if the value is ${data.FACT}."""
        match = REFERENCE.fullmatch(self.data) if isinstance(self.data, str) else None
        return match[1] if match else None

    def plain(self) -> Any:
        """The value as ordinary dicts, lists and scalars."""
        if self.is_mapping:
            return {key: value.plain() for key, value in self.data.items()}
        if self.is_list:
            return [value.plain() for value in self.data]
        return self.data

    def walk(self, path: str = "") -> Iterator[tuple[str, Value]]:
        """Every value below this one with its path, this one first."""
        yield path, self
        if self.is_mapping:
            for key, value in self.data.items():
                yield from value.walk(join(path, key))
        elif self.is_list:
            for index, value in enumerate(self.data):
                yield from value.walk(f"{path}[{index}]")


@dataclass(frozen=True)
class Recipe:
    """A recipe, resolved: `extends` merged and overrides applied.

    Args:
        root: the whole mapping.
        file: the file it was read from.
        purpose: the first sentence of the file's leading comment.
    """

    root: Value
    file: str
    purpose: str

    @property
    def name(self) -> str:
        return Path(self.file).stem

    def get(self, *keys: Any) -> Value | None:
        return self.root.get(*keys)

    def setting(self, *keys: Any, default: Any = None) -> Any:
        """A plain value below `keys`, or `default`."""
        value = self.root.get(*keys)
        return default if value is None else value.plain()

    def plain(self) -> dict[str, Any]:
        return self.root.plain()

    def to_yaml(self) -> str:
        """The resolved recipe as YAML text that loads to the same values."""
        return yaml.safe_dump(self.plain(), sort_keys=False, allow_unicode=True, width=110)


def load(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a file, or a bundled one by name ("cnn/lenet5"), with `key=value` overrides applied.

    Raises:
        RecipeError: everything that can be seen to be wrong without Keras, each with its place.
        UsageError: there is no such recipe.
    """
    path = find(source)
    root = _read_extended(path, ())
    problems: list[Problem] = []
    for override in overrides:
        try:
            root = _override(root, override)
        except RecipeError as error:
            problems += error.problems
    problems += check(root)
    if problems:
        raise RecipeError(problems)
    return Recipe(root, str(path), purpose(path))


def from_text(text: str, file: str) -> Value:
    """YAML text as a `Value`."""
    return _Reader(text, file).read()


def bundled() -> Path:
    """The folder of bundled recipes: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / "_recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def bundled_names() -> list[str]:
    folder = bundled()
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def find(source: str | Path) -> Path:
    """A recipe's file: `source` itself, or the bundled recipe of that name."""
    path = Path(source)
    if path.is_file():
        return path
    name = path.with_suffix("").as_posix() if path.suffix in (".yaml", ".yml") else path.as_posix()
    if name.startswith("recipes/") and name not in bundled_names():
        name = name.removeprefix("recipes/")
    if name in bundled_names():
        return bundled() / f"{name}.yaml"
    if path.is_dir():
        raise UsageError(f"{source}: is a folder without a recipe.yaml. Give a recipe's file, a run directory or a name.")
    raise UsageError(f"{source}: no such recipe.{suggest(name, bundled_names())} 'dltool recipes' lists the bundled ones.")


def purpose(path: Path) -> str:
    """The first line of a recipe's leading comment."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            return line.lstrip("# ").strip()
        break
    return ""


def suggest(name: Any, known: Sequence[str]) -> str:
    """" Did you mean 'x'?" where a known name is near, else nothing."""
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.6)
    if not near:
        lowered = {other.lower(): other for other in known}
        near = difflib.get_close_matches(str(name).lower(), list(lowered), n=1, cutoff=0.6)
        near = [lowered[match] for match in near]
    return f" Did you mean '{near[0]}'?" if near else ""


def join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def object_name(value: Value) -> str | None:
    """The capitalised name if the value reads as an object: `Name`, `Name: x` or `Name: {...}`."""
    if isinstance(value.data, str):
        name: Any = value.data
    elif value.is_mapping and len(value.data) == 1:
        name = next(iter(value.data))
    else:
        return None
    return name if isinstance(name, str) and re.fullmatch(r"[A-Z]\w*", name) else None


# -- reading -------------------------------------------------------------------------------------------


class _Resolver(yaml.SafeLoader):
    """The safe loader, with scalars as users mean them: YAML 1.2's core types, and 1e-3 is a number."""

    yaml_implicit_resolvers: dict = {}


_Resolver.add_implicit_resolver("null", re.compile(r"^(?:~|null|Null|NULL|)$"), [*"~nN", ""])
_Resolver.add_implicit_resolver("bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), [*"tTfF"])
_Resolver.add_implicit_resolver(
    "int", re.compile(r"^(?:[-+]?[0-9]+(?:_[0-9]+)*|0o[0-7]+|0x[0-9a-fA-F]+)$"), [*"-+0123456789"]
)
_Resolver.add_implicit_resolver(
    "float",
    re.compile(r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"),
    [*"-+.0123456789"],
)


class _Reader:
    """One YAML text: composed, bounded and converted."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file, self.count = text, file, 0
        self.problems: list[Problem] = []

    def read(self) -> Value:
        try:
            self._check_events()
            loader = _Resolver(self.text)
            try:
                node = loader.get_single_node()
            finally:
                loader.dispose()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise self._fail(self._place(mark), " ".join(filter(None, (error.problem, error.context)))) from None
        except yaml.YAMLError as error:
            raise self._fail(Place(self.file, 1, 1), f"not YAML: {str(error).splitlines()[0]}") from None
        if node is None:
            raise self._fail(Place(self.file, 1, 1), "the recipe is empty")
        value = self._convert(node, None, "")
        if self.problems:
            raise RecipeError(self.problems)
        return value

    def _check_events(self) -> None:
        depth = 0
        for event in yaml.parse(self.text, Loader=yaml.SafeLoader):
            tag = getattr(event, "tag", None)
            if tag is not None:
                raise self._fail(self._place(event.start_mark), f"a tag ({tag}) is not allowed in recipes. Remove it.")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    raise self._fail(self._place(event.start_mark), f"nested deeper than {MAX_DEPTH} levels")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1

    def _place(self, mark: Any) -> Place:
        return Place(self.file, mark.line + 1, mark.column + 1) if mark else Place(self.file, 1, 1)

    def _fail(self, place: Place, message: str) -> RecipeError:
        return RecipeError([Problem(place, "", message)])

    def _convert(self, node: yaml.Node, key: Place | None, path: str, depth: int = 0) -> Value:
        place = self._place(node.start_mark)
        self.count += 1
        if self.count > MAX_VALUES:
            raise self._fail(place, f"more than {MAX_VALUES:,} values once aliases are expanded")
        if depth > MAX_DEPTH:
            raise self._fail(place, f"nested deeper than {MAX_DEPTH} levels once aliases are expanded")
        if isinstance(node, yaml.ScalarNode):
            return Value(self._scalar(node), place, key)
        if isinstance(node, yaml.SequenceNode):
            items = (self._convert(item, None, f"{path}[{index}]", depth + 1) for index, item in enumerate(node.value))
            return Value(tuple(items), place, key)
        mapping: dict[Any, Value] = {}
        for key_node, value_node in node.value:
            key_place = self._place(key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem(key_place, path, "a key must be a plain word"))
                continue
            name = self._scalar(key_node)
            if name == "<<":
                self.problems.append(Problem(key_place, path, "merge keys (<<) are not supported. Use extends."))
                continue
            if name in mapping:
                first = mapping[name].key
                self.problems.append(Problem(key_place, join(path, name), f"repeated key, first given at line {first.line}"))
                continue
            mapping[name] = self._convert(value_node, key_place, join(path, name), depth + 1)
        return Value(MappingProxyType(mapping), place, key)

    @staticmethod
    def _scalar(node: yaml.ScalarNode) -> Any:
        text = node.value
        if node.tag == "null":
            return None
        if node.tag == "bool":
            return text.lower() == "true"
        if node.tag == "int":
            digits = text.replace("_", "")
            return int(digits, 0) if digits[:2] in ("0o", "0x") else int(digits)
        if node.tag == "float":
            special = text.lower().lstrip("+")
            return {".inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}.get(special) or float(text)
        return text


def _read_file(path: Path) -> Value:
    file = str(path)
    try:
        raw = path.read_bytes()
        if len(raw) > MAX_BYTES:
            raise RecipeError([Problem(Place(file, 1, 1), "", f"is larger than {MAX_BYTES:,} bytes: not a recipe")])
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        place = Place(file, before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
        raise RecipeError([Problem(place, "", "not UTF-8 text. Save the recipe as UTF-8.")]) from None
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    root = from_text(text, file)
    if not root.is_mapping:
        raise RecipeError([Problem(root.place, "", "a recipe is a mapping of keys such as data:, model:, compile:, fit:")])
    return root


def _read_extended(path: Path, seen: tuple[Path, ...]) -> Value:
    root = _read_file(path)
    base = root.get("extends")
    if base is None:
        return root
    here = (*seen, path.resolve())
    base_path = _base(path, base)
    if base_path.resolve() in here or len(here) > MAX_EXTENDS:
        raise RecipeError([Problem(base.place, "extends", f"{base.data} extends this recipe again")])
    return merge(_read_extended(base_path, here), _without(root, "extends"))


def chain(path: Path) -> list[Path]:
    """A recipe's file and those it extends, in turn."""
    files = [path]
    while (base := _read_file(files[-1]).get("extends")) is not None and len(files) <= MAX_EXTENDS:
        files.append(_base(files[-1], base))
    return files


def _base(path: Path, base: Value) -> Path:
    """The file that `extends` names: beside the recipe, else a bundled one."""
    if not isinstance(base.data, str):
        raise RecipeError([Problem(base.place, "extends", "must be a recipe's path or bundled name")])
    beside = path.parent / base.data
    try:
        return beside.resolve() if beside.is_file() else find(base.data)
    except UsageError as error:
        message = str(error).split(": ", 1)[1]
        raise RecipeError([Problem(base.place, "extends", f"{base.data}: {message}")]) from None


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


# -- overrides -----------------------------------------------------------------------------------------


def _override(root: Value, text: str) -> Value:
    file = "command line"
    place = Place(file, 1, 1)
    key, equals, raw = text.partition("=")
    if not equals or not key:
        raise RecipeError([Problem(place, text, "an override reads dotted.key=value, such as fit.epochs=5")])
    try:
        new = from_text(raw, file) if raw.strip() else Value(None, place)
    except RecipeError as error:
        raise RecipeError([Problem(place, text, problem.message) for problem in error.problems]) from None
    return _set(root, key.split("."), replace(_placed(new, place), key=place), text, "")


def _placed(value: Value, place: Place) -> Value:
    if value.is_mapping:
        data: Any = MappingProxyType({key: _placed(item, place) for key, item in value.data.items()})
    elif value.is_list:
        data = tuple(_placed(item, place) for item in value.data)
    else:
        data = value.data
    return Value(data, place, place)


def _set(value: Value | None, keys: list[str], new: Value, text: str, path: str) -> Value:
    if not keys:
        return new
    place = new.place

    def fail(message: str) -> RecipeError:
        return RecipeError([Problem(place, text, message)])

    if value is not None and value.is_list:
        count = len(value.data)
        if not re.fullmatch(r"-?\d+", keys[0]) or not -count <= int(keys[0]) <= count:
            raise fail(f"{path} is a list of {count}: its index is 0 to {count} ({count} appends). Got '{keys[0]}'.")
        index = int(keys[0]) + (count if int(keys[0]) < 0 else 0)
        items = list(value.data)
        old = items[index] if index < count else None
        items[index : index + 1] = [_set(old, keys[1:], new, text, f"{path}[{index}]")]
        return replace(value, data=tuple(items))
    if value is None or value.data is None:
        mapping: dict[Any, Value] = {}
    elif value.is_mapping:
        mapping = dict(value.data)
    elif isinstance(value.data, str) and object_name(value):  # a bare name: MaxPooling2D
        mapping = {value.data: Value(None, value.place, value.place)}
    elif re.fullmatch(r"[A-Z]\w*", keys[0]):  # an object in place of a plain value: learning_rate.CosineDecay...
        mapping = {}
    else:
        raise fail(f"{path} is {value.data!r}, not a mapping. Give the whole value: {path}=...")
    named = object_name(value) if value is not None else None
    key: Any = keys[0]
    if key not in mapping and re.fullmatch(r"-?\d+", key) and int(key) in mapping:
        key = int(key)
    if named is not None and key != named:
        if not re.fullmatch(r"[A-Z]\w*", key):
            raise fail(f"{path} is {named}: write {join(path, named)}.{key}=...")
        mapping = {}
    mapping[key] = _set(mapping.get(key), keys[1:], new, text, join(path, key))
    if value is None:
        return Value(MappingProxyType(mapping), place, place)
    return Value(MappingProxyType(mapping), value.place, value.key)


# -- what can be checked without Keras -----------------------------------------------------------------


def check(root: Value) -> list[Problem]:
    """Problems of the recipe's outer form: unknown keys, wrong types, ill-formed references."""
    problems = _unknown(root, "", TOP_KEYS)
    for name, keys in (("data", DATA_KEYS), ("compile", COMPILE_KEYS), ("fit", FIT_KEYS), ("select", ("monitor", "mode"))):
        section = root.get(name)
        if section is None:
            continue
        if section.is_mapping:
            problems += _unknown(section, name, keys)
        else:
            problems.append(Problem(section.place, name, f"must be a mapping of {', '.join(keys)}. Got {section.data!r}."))
    for name in ("data", "model", "compile"):
        if name not in root.data:
            problems.append(Problem(root.place, name, "is missing"))
    if (data := root.get("data")) is not None and data.is_mapping and "dataset" not in data.data:
        problems.append(Problem(data.place, "data.dataset", "is missing. Name a dataset, such as Digits."))
    for path, test, wanted in _SCALARS:
        value = root.get(*path)
        if value is not None and not test(value.data):
            got = "a list" if value.is_list else "a mapping" if value.is_mapping else repr(value.data)
            problems.append(Problem(value.place, ".".join(path), f"must be {wanted}. Got {got}."))
    model = root.get("model")
    if model is not None and not (model.is_list and model.data) and object_name(model) is None:
        problems.append(Problem(model.place, "model", "must be a list of layers or one named architecture"))
    for path, value in root.walk():
        if isinstance(value.data, str) and "${" in value.data and value.reference is None:
            message = f"{value.data!r}: a reference stands alone and reads ${{data.FACT}}, such as ${{data.num_classes}}"
            problems.append(Problem(value.place, path, message))
    return problems


def _unknown(section: Value, path: str, known: Sequence[str]) -> list[Problem]:
    problems = []
    for key, value in section.data.items():
        if key not in known:
            full = join(path, key)
            help_ = f" {MOVED[full][0].upper()}{MOVED[full][1:]}." if full in MOVED else suggest(key, known)
            message = f"unknown key.{help_}" if help_ else f"unknown key. Known: {', '.join(known)}."
            problems.append(Problem(value.key or value.place, full, message))
    return problems


def _is_int(low: int) -> Any:
    return lambda data: isinstance(data, int) and not isinstance(data, bool) and data >= low


def _is_bool(data: Any) -> bool:
    return isinstance(data, bool)


def _is_fraction(data: Any) -> bool:
    return isinstance(data, int | float) and not isinstance(data, bool) and 0 <= data < 1


_SCALARS = (
    (("seed",), _is_int(0), "an int >= 0"),
    (("deterministic",), _is_bool, "true or false"),
    (("dtype_policy",), lambda data: isinstance(data, str), "a dtype policy's name, such as mixed_bfloat16"),
    (("data", "validation_split"), _is_fraction, "a fraction in [0, 1)"),
    (("data", "test_split"), _is_fraction, "a fraction in [0, 1)"),
    (("data", "split_seed"), _is_int(0), "an int >= 0"),
    (("data", "augment"), lambda data: isinstance(data, tuple), "a list of layers"),
    (("fit", "epochs"), _is_int(1), "an int >= 1"),
    (("fit", "batch_size"), _is_int(1), "an int >= 1"),
    (("fit", "shuffle"), _is_bool, "true or false"),
    (("fit", "callbacks"), lambda data: data is None or isinstance(data, tuple), "a list of callbacks"),
    (("fit", "class_weight"), lambda data: data is None or isinstance(data, Mapping), "a mapping of class to weight"),
    (("fit", "steps_per_epoch"), lambda data: data is None or _is_int(1)(data), "an int >= 1"),
    (("fit", "validation_steps"), lambda data: data is None or _is_int(1)(data), "an int >= 1"),
    (("fit", "validation_batch_size"), lambda data: data is None or _is_int(1)(data), "an int >= 1"),
    (("fit", "validation_freq"), _is_int(1), "an int >= 1"),
    (("compile", "steps_per_execution"), lambda data: data == "auto" or _is_int(1)(data), "an int >= 1 or auto"),
    (("compile", "jit_compile"), lambda data: data == "auto" or _is_bool(data), "true, false or auto"),
    (("compile", "run_eagerly"), _is_bool, "true or false"),
    (("compile", "auto_scale_loss"), _is_bool, "true or false"),
    (("select", "monitor"), lambda data: isinstance(data, str), "a metric's name, such as val_accuracy"),
    (("select", "mode"), lambda data: data in ("min", "max"), "min or max"),
)
