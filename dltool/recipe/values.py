"""YAML text becomes plain frozen data that knows where each value stands, with scalars as users mean them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import yaml

from dltool.errors import Place, Problem, RecipeError

MAX_DEPTH = 64
MAX_VALUES = 100_000  # aliases count each time they are used: a "billion laughs" file stops here
MAX_DIGITS = 1_000  # of a whole number; Python itself reads at most 4,300

REFERENCE = re.compile(r"\$\{data\.((?:[^{}.]+\.)?[A-Za-z_]\w*)\}")  # a fact, or one of a named input or target
OBJECT_NAME = re.compile(r"[A-Z]\w*")


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
        found: Value = self.data[key]
        return found

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


def from_text(text: str, file: str) -> Value:
    """YAML text as a `Value`.

    Raises:
        RecipeError: the text is not YAML, or holds what recipes may not: tags, merge keys, repeated keys,
            several documents, more than `MAX_VALUES` values or `MAX_DEPTH` levels.
    """
    return _Reader(text, file).read()


def to_text(plain: Any) -> str:
    """Plain data as YAML text that `from_text` reads back as the same values."""
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def shown(value: Value | None) -> str:
    """A value in a message: scalars as they are, collections by their kind."""
    if value is None:
        return "nothing"
    if value.is_list:
        return "a list"
    if value.is_mapping:
        return "a mapping"
    return "nothing" if value.data is None else repr(value.data)


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
    return name if isinstance(name, str) and OBJECT_NAME.fullmatch(name) else None


class _Loader(yaml.SafeLoader):
    """The safe loader, bounded, without tags, with YAML 1.2's core types: `no` is text, 1e-3 a number."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if (tag := getattr(event, "tag", None)) is not None:
            raise _RefusedError(event.start_mark, f"a tag ({_shown(tag)}) is not allowed in recipes. Remove it.")
        if self.depth > MAX_DEPTH:
            raise _RefusedError(event.start_mark, f"nested deeper than {MAX_DEPTH} levels")
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


class _RefusedError(Exception):
    """YAML that is well-formed, but not for recipes."""

    def __init__(self, mark: yaml.Mark, message: str) -> None:
        super().__init__(message)
        self.mark = mark


_Loader.add_implicit_resolver("null", re.compile(r"^(?:~|null|Null|NULL|)$"), [*"~nN", ""])
_Loader.add_implicit_resolver("bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), [*"tTfF"])
_Loader.add_implicit_resolver(
    "int", re.compile(r"^(?:[-+]?[0-9]+(?:_[0-9]+)*|0o[0-7]+|0x[0-9a-fA-F]+)$"), [*"-+0123456789"]
)
_Loader.add_implicit_resolver(
    "float",
    re.compile(
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:_[0-9]+)*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    [*"-+.0123456789"],
)


class _Dumper(yaml.SafeDumper):
    """The safe dumper; text that this module's loader would read as something else is quoted."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        style = None
        resolvers = _Loader.yaml_implicit_resolvers.get(text[:1], [])
        if any(pattern.match(text) for _, pattern in resolvers):
            style = "'"
        elif not text.isprintable():  # block and folded styles do not keep every line break
            style = '"'
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _Dumper.represent_text)


class _Reader:
    """One YAML text: composed, bounded and converted."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file, self.count = text, file, 0
        self.problems: list[Problem] = []

    def read(self) -> Value:
        try:
            loader = _Loader(self.text)
            try:
                node = loader.get_single_node()
            finally:
                loader.dispose()
        except _RefusedError as error:
            raise self._fail(self._place(error.mark), str(error)) from None
        except yaml.reader.ReaderError as error:
            before = self.text[: error.position]
            place = Place(self.file, before.count("\n") + 1, len(before) - before.rfind("\n"))
            raise self._fail(place, f"the character U+{error.character:04X} is not allowed in YAML") from None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise self._fail(self._place(mark), _said(error)) from None
        if node is None:
            raise self._fail(Place(self.file, 1, 1), "is empty")
        value = self._convert(node, None, "")
        if self.problems:
            raise RecipeError(self.problems)
        return value

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
            return Value(self._scalar(node, path), place, key)
        if isinstance(node, yaml.SequenceNode):
            items = (self._convert(item, None, f"{path}[{index}]", depth + 1) for index, item in enumerate(node.value))
            return Value(tuple(items), place, key)
        mapping: dict[Any, Value] = {}
        for key_node, value_node in node.value:
            key_place = self._place(key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem(key_place, path, "a key must be a plain word"))
                continue
            name = self._scalar(key_node, path)
            if name == "<<" and key_node.style is None:
                self.problems.append(Problem(key_place, path, "merge keys (<<) are not supported. Use extends."))
                continue
            if name in mapping:
                first = mapping[name].key or mapping[name].place
                self.problems.append(
                    Problem(key_place, join(path, name), f"repeated key, first given at line {first.line}")
                )
                continue
            mapping[name] = self._convert(value_node, key_place, join(path, name), depth + 1)
        return Value(MappingProxyType(mapping), place, key)

    def _scalar(self, node: yaml.ScalarNode, path: str) -> Any:
        text = node.value
        if node.tag == "null":
            return None
        if node.tag == "bool":
            return text.lower() == "true"
        if node.tag == "int":
            if len(text) > MAX_DIGITS:
                message = f"a whole number of more than {MAX_DIGITS:,} digits. Quote it if it is text."
                self.problems.append(Problem(self._place(node.start_mark), path, message))
                return 0
            digits = text.replace("_", "")
            return int(digits, 0) if digits[:2] in ("0o", "0x") else int(digits)
        if node.tag == "float":
            special = text.lower().lstrip("+")
            return {".inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}.get(special) or float(text)
        return text


def _said(error: yaml.MarkedYAMLError) -> str:
    """Return the YAML parser's complaint in one line."""
    problem, context = error.problem or "", error.context or ""
    if "another document" in problem:
        return "a recipe is one document: remove the second '---'"
    if "'\\t'" in problem:
        return "a tab cannot indent or begin a value. Use spaces."
    if "mapping values are not allowed" in problem:
        return "a second ': ' in one value. Quote text; put an inner mapping in {...} or on its own line."
    return " ".join(f"not YAML: {problem}{f' ({context})' if context and problem else context}".split())


def _shown(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")
