"""Python modules as their source says: classes, functions and arguments by syntax trees, without importing them.

Parsing takes milliseconds a module, so outlines are kept between commands in the user's cache folder, each with the
size and time of change of its file. Whatever is wrong with the cache, modules are parsed: it never decides whether a
command works.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltool import __version__
from dltool.recipe import kept_facts

if TYPE_CHECKING:
    import ast

LARGEST = 2**22  # bytes of the kept outlines; all of Keras's have a tenth of it
LONGEST_LITERAL = 8  # items of a constant that is shown as a default
MOST = 10  # files of outlines: a file for each installation of Keras
SOURCES: dict[str, Path] = {}  # module -> file, of modules that are not on Python's path

Imports = dict[str, tuple[str, str]]  # name in the module -> (module, name there); the second empty of `import x`


@dataclass(frozen=True)
class Argument:
    """An argument of a class or function.

    Args:
        name: its name.
        default: as source text, None if it must be given.
    """

    name: str
    default: str | None


@dataclass(frozen=True)
class Definition:
    """A class or function without its code.

    Args:
        line: the first sentence of its docstring.
        arguments: of the function or the class's constructor, without self; None for a class without a constructor.
        passes_on: whether further arguments go to the parent's constructor.
        bases: a class's parents as written; empty of functions.
        is_class: whether it is a class.
        is_abstract: whether it is a class with abstract methods of its own.
        direction: "up" or "down" if a metric's class says where its figure is to go, else "".
    """

    line: str
    arguments: tuple[Argument, ...] | None
    passes_on: bool = False
    bases: tuple[str, ...] = ()
    is_class: bool = False
    is_abstract: bool = False
    direction: str = ""


@dataclass(frozen=True)
class Module:
    """A module without its code.

    Args:
        imports: what it imports by name, at any depth.
        definitions: its classes and functions.
        objects: the names in its set ALL_OBJECTS, from which Keras makes the words of a kind.
        words: further names and texts by which Keras knows them, from ALL_OBJECTS_DICT.
        is_snake_case: whether Keras also knows the objects in snake case.
    """

    imports: Imports
    definitions: dict[str, Definition]
    objects: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    is_snake_case: bool = False


EMPTY = Module({}, {})


def read(module: str) -> Module:
    """Return a module's outline, an empty one if its source cannot be found."""
    path = find_source(module)
    return EMPTY if path is None else _read(path, module)


@functools.cache
def find_source(module: str) -> Path | None:
    """Return the file of a module; no module is imported to find it."""
    if module in SOURCES:
        return SOURCES[module]
    package, _, rest = module.partition(".")
    try:
        specification = importlib.util.find_spec(package) if package else None
    except (ImportError, ValueError):
        return None
    if specification is None or module.endswith("."):
        return None
    if not rest and specification.origin is not None and specification.origin.endswith(".py"):
        return Path(specification.origin)
    for folder in specification.submodule_search_locations or ():
        stem = Path(folder, *rest.split("."))
        for path in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py"):
            if path.is_file():
                return path
    return None


def keep() -> None:
    """Keep the outlines that were parsed since, for the next command."""
    if _kept is not None:
        _kept.write()


def forget() -> None:
    """Forget the outlines in memory; those in the cache folder stay."""
    global _kept
    _kept = None
    _read.cache_clear()
    find_source.cache_clear()


# -- the kept outlines ---------------------------------------------------------------------------------


class _Kept:
    """The outlines in the cache folder, by the files they are of."""

    def __init__(self) -> None:
        self._found = self._load()
        self._is_new = False

    def get(self, path: Path, state: list[int]) -> Module | None:
        """Return the outline of a file whose size and time of change are those."""
        entry = self._found.get(str(path))
        try:
            return _unpacked(entry["module"]) if entry is not None and entry["state"] == state else None
        except (KeyError, TypeError, ValueError):  # written by hand
            return None

    def put(self, path: Path, state: list[int], module: Module) -> None:
        self._found[str(path)] = {"state": state, "module": asdict(module)}
        self._is_new = True

    def write(self) -> None:
        if not self._is_new or kept_facts.is_off():
            return
        merged = self._load() | {path: entry for path, entry in self._found.items() if Path(path).is_file()}
        kept_facts.keep_text(self._file(), json.dumps(merged), LARGEST, MOST)
        self._is_new = False

    def _load(self) -> dict[str, Any]:
        if kept_facts.is_off():
            return {}
        text = kept_facts.kept_text(self._file(), LARGEST)
        try:
            found = json.loads(text) if text else {}
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def _file(self) -> str:
        """Return the file's name, a path below the cache folder: one for each dltool, Keras and Python."""
        keras = find_source("keras")
        described = [__version__, str(Path(__file__).parent), str(keras), sys.version_info[:2], _own_state()]
        return f"signatures/{hashlib.sha256(json.dumps(described).encode()).hexdigest()[:32]}"


_kept: _Kept | None = None


@functools.cache
def _own_state() -> list[int]:
    return _state(Path(__file__))  # another version of this module may outline differently


def _state(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


@functools.cache
def _read(path: Path, module: str) -> Module:
    global _kept
    _kept = _kept or _Kept()
    try:
        state = _state(path)
        found = _kept.get(path, state)
        if found is None:
            found = outline(path.read_bytes(), module, path.name == "__init__.py")
            _kept.put(path, state, found)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return EMPTY
    return found


def _unpacked(plain: dict[str, Any]) -> Module:
    """Return the outline that `asdict` and JSON have made of one."""
    definitions = {
        name: Definition(
            **{
                **one,
                "bases": tuple(one["bases"]),
                "arguments": None if one["arguments"] is None else tuple(Argument(**a) for a in one["arguments"]),
            }
        )
        for name, one in plain["definitions"].items()
    }
    imports = {name: (module, other) for name, (module, other) in plain["imports"].items()}
    objects, words = tuple(plain["objects"]), tuple(plain["words"])
    return Module(imports, definitions, objects, words, plain["is_snake_case"])


# -- syntax trees --------------------------------------------------------------------------------------


def outline(source: bytes, module: str, is_package: bool = False) -> Module:
    """Return the outline of a module's source.

    Args:
        module: its dotted name, from which relative imports count.
        is_package: whether it is a package's __init__.
    Raises:
        SyntaxError: it is no Python.
    """
    import ast

    tree = ast.parse(source)
    home = module if is_package else module.rpartition(".")[0]
    imports: Imports = {}
    for node in [*ast.walk(tree), *tree.body]:  # what the module's body imports comes last: it counts
        if isinstance(node, ast.ImportFrom):
            above = home.rsplit(".", node.level - 1)[0] if node.level else ""
            full = ".".join(filter(None, (above, node.module)))
            imports.update({alias.asname or alias.name: (full, alias.name) for alias in node.names})
        elif isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                imports[alias.asname or first] = (alias.name if alias.asname else first, "")
    constants = {
        ast.unparse(node.targets[0]): ast.unparse(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and _is_literal(node.value)
    }
    definitions = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            definitions[node.name] = _class(node, constants)
        elif isinstance(node, ast.FunctionDef):
            arguments = tuple(_arguments(node.args, constants))
            definitions[node.name] = Definition(first_sentence(ast.get_docstring(node)), arguments)
    return Module(imports, definitions, *_words(tree))


def _is_literal(node: ast.expr) -> bool:
    """Return whether an expression is a number or text, or a short tuple or list of some."""
    import ast

    if isinstance(node, ast.UnaryOp):
        return _is_literal(node.operand)
    if isinstance(node, ast.Tuple | ast.List):
        return len(node.elts) <= LONGEST_LITERAL and all(map(_is_literal, node.elts))
    return isinstance(node, ast.Constant)


def first_sentence(docstring: str | None) -> str:
    """Return the first sentence of a docstring, in one line."""
    paragraph = " ".join((docstring or "").strip().split("\n\n")[0].split())
    end = paragraph.find(". ")
    return paragraph[: end + 1] if end >= 0 else paragraph


def _class(node: ast.ClassDef, constants: dict[str, str]) -> Definition:
    import ast

    arguments: tuple[Argument, ...] | None = None
    passes_on = True
    direction = ""
    is_abstract = False
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            arguments = tuple(_arguments(item.args, constants, skip=1))
            passes_on = item.args.kwarg is not None
        is_abstract |= isinstance(item, ast.FunctionDef) and any(
            "abstractmethod" in ast.unparse(decorator) for decorator in item.decorator_list
        )
    if arguments is None and any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        arguments, passes_on = tuple(_fields(node)), False
    for inner in ast.walk(node):
        if isinstance(inner, ast.Assign) and ast.unparse(inner.targets[0]) == "self._direction":
            direction = str(inner.value.value) if isinstance(inner.value, ast.Constant) else ""
    bases = tuple(ast.unparse(base) for base in node.bases)
    line = first_sentence(ast.get_docstring(node))
    return Definition(line, arguments, passes_on, bases, True, is_abstract, direction)


def _arguments(arguments: ast.arguments, constants: dict[str, str], skip: int = 0) -> Iterator[Argument]:
    """Yield the arguments that can be given by name.

    Args:
        skip: leading ones that are left out: self.
    """
    import ast

    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    for argument, default in [*list(zip(positional, defaults, strict=True))[skip:],
                              *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]:  # fmt: skip
        text = None if default is None else ast.unparse(default)
        yield Argument(argument.arg, None if text is None else constants.get(text, text))


def _fields(node: ast.ClassDef) -> Iterator[Argument]:
    """Yield the fields of a dataclass."""
    import ast

    for item in node.body:
        if isinstance(item, ast.AnnAssign) and "ClassVar" not in ast.unparse(item.annotation):
            yield Argument(ast.unparse(item.target), None if item.value is None else ast.unparse(item.value))


def _words(tree: ast.Module) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """Return what a namespace of Keras says of its words: ALL_OBJECTS, further words, whether in snake case too."""
    import ast

    objects: list[str] = []
    words: list[str] = []
    is_snake_case = False
    for node in tree.body:
        begin = ast.unparse(node).partition("\n")[0] if not isinstance(node, ast.ClassDef | ast.FunctionDef) else ""
        if begin.startswith("ALL_OBJECTS = "):
            objects = [item.id for item in ast.walk(node) if isinstance(item, ast.Name) and item.id != "ALL_OBJECTS"]
        elif begin.startswith("ALL_OBJECTS_DICT"):
            is_snake_case |= "to_snake_case" in ast.unparse(node)
            texts = [item.value for item in ast.walk(node) if isinstance(item, ast.Constant)]
            words += [text for text in texts if isinstance(text, str)]
    return tuple(dict.fromkeys(objects)), tuple(dict.fromkeys(words)), is_snake_case
