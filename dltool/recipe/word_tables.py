"""The words of recipes as tables, read without Keras: kinds, names of a kind, arguments of a name."""

from __future__ import annotations

from typing import Any

from dltool.errors import UsageError, suggest
from dltool.output.tables import Rows
from dltool.recipe import builder, catalogue, plugins, signatures
from dltool.tasks import base

TASKS = "tasks"


def kinds() -> dict[str, Rows]:
    """Return the kinds of words, each with how many there are and one of them."""
    rows = [
        {"kind": kind, "words": len(catalogue.known(kind)) + len(_lower(kind)), "example": builder.EXAMPLES[kind]}
        for kind in catalogue.KINDS
    ]
    rows.append({"kind": TASKS, "words": len(base.names()), "example": base.DEFAULT})
    return {"kinds": Rows.of(rows)}


def of_kind(kind: str) -> dict[str, Rows]:
    """Return the words of a kind, each with where it comes from and one line."""
    rows = []
    for name in catalogue.known(kind):
        word = catalogue.describe(kind, name)
        rows.append({"kind": kind, "word": name, "from": _source(kind, name), "line": word.line})
    for name in _lower(kind):
        line = signatures.first_line(f"keras.{kind}", name)
        rows.append({"kind": kind, "word": name, "from": "Keras", "line": line})
    return {"words": Rows.of(rows)}


def of_tasks() -> dict[str, Rows]:
    """Return the tasks, which no recipe names: a dataset says which it poses."""
    rows = []
    for name, module in sorted({**plugins.words(TASKS), **catalogue.own(TASKS)}.items()):
        line = signatures.first_line(module, name)
        rows.append({"kind": TASKS, "word": base.name_of(name), "from": _source(TASKS, name), "line": line})
    return {"words": Rows.of(rows)}


def of_word(kind: str, name: str) -> dict[str, Rows]:
    """Return a word's line and its arguments: default, the kind of object that an argument takes, meaning."""
    word = catalogue.describe(kind, name)
    meanings = signatures.meanings(word.module, name)
    rows: list[dict[str, Any]] = []
    for one in word.arguments.values():
        default = "required" if one.default is None else one.default
        takes, meaning = builder.kind_of(one.name, kind) or "", meanings.get(one.name, "")
        rows.append({"word": name, "argument": one.name, "default": default, "takes": takes, "meaning": meaning})
    line = [{"kind": kind, "word": name, "from": _source(kind, name), "line": word.line}]
    empty: dict[str, list[str]] = {key: [] for key in ("word", "argument", "default", "takes", "meaning")}
    return {"words": Rows.of(line), "arguments": Rows.of(rows) if rows else Rows(empty)}


def find(words: list[str]) -> dict[str, Rows]:
    """Return the tables of what was asked for: nothing, a kind, a name, or a kind and a name.

    Raises:
        UsageError: there is no such kind or name, or two kinds have the name.
    """
    if not words:
        return kinds()
    if len(words) > 2:
        raise UsageError(f"give a kind and a name at most. Got {' '.join(words)}.")
    if words in ([TASKS], ["task"]):
        return of_tasks()
    kind = next((kind for kind in catalogue.KINDS if words[0] in (kind, catalogue.singular(kind))), None)
    if kind is not None and len(words) == 1:
        return of_kind(kind)
    if kind is None and len(words) == 2:
        raise UsageError(f"no kind '{words[0]}'.{suggest(words[0], catalogue.KINDS)} 'dltool words' lists them.")
    name = words[-1]
    having = [one for one in ([kind] if kind else catalogue.KINDS) if catalogue.has(one, name)]
    if len(having) == 1:
        return of_word(having[0], name)
    if having:
        tables = [of_word(one, name) for one in having]
        columns = [*tables[0]["words"].columns]
        return {"words": Rows({key: [table["words"].columns[key][0] for table in tables] for key in columns})}
    known = catalogue.known(kind) if kind else [*catalogue.KINDS, *every_name()]
    what = catalogue.singular(kind) if kind else "word"
    raise UsageError(f"no {what} '{name}'.{suggest(name, known)} 'dltool words' lists them.")


def every_name() -> list[str]:
    """Return the capitalised names of all kinds."""
    return sorted({name for kind in catalogue.KINDS for name in catalogue.known(kind)})


def datasets() -> dict[str, Rows]:
    """Return the datasets with one line each, and the arguments of all of them."""
    tables = {name: of_word("datasets", name) for name in catalogue.known("datasets")}
    lines = [{"dataset": name, "holds": table["words"].columns["line"][0]} for name, table in tables.items()]
    arguments = [
        {"dataset": word, "argument": argument, "default": default, "meaning": meaning}
        for table in tables.values()
        for word, argument, default, _, meaning in table["arguments"].records()
    ]
    return {"datasets": Rows.of(lines), "arguments": Rows.of(arguments)}


def _lower(kind: str) -> list[str]:
    """Return the lower-case words of a kind by which Keras knows functions or classes of other names."""
    return catalogue.words(kind) if kind in ("activations", "losses", "metrics") else []


def _source(kind: str, name: str) -> str:
    """Return whose word it is: dltool's, Keras's, or the file or package of own Python."""
    if name in catalogue.own(kind):
        return "dltool"
    module = plugins.words(kind).get(name)
    plugin = next((plugin for plugin in plugins.every() if plugin.module == module), None)
    if plugin is None or (kind != TASKS and catalogue.describe(kind, name).module != module):
        return "Keras"
    return plugin.package[0] if plugin.package is not None else plugin.file.name
