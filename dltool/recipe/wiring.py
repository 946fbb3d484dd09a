"""Which layer reads which: the keys `inputs` and `outputs` of a recipe's model, checked without Keras."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from dltool.errors import Place, Problem, suggest
from dltool.recipe.values import Value, join, object_name, shown

INPUT = "input"  # the name of data that are one array
BY_OUTPUT = ("loss", "loss_weights", "metrics", "weighted_metrics")  # of compile: mappings where outputs are several


@dataclass(frozen=True)
class Entry:
    """A layer of a model's list and what it reads.

    Args:
        value: the layer, without the key `inputs`.
        at: where it stands, such as model[3].
        path: the same with the layer's own name, such as model[3].Concatenate.
        name: Keras's argument `name`, None where the recipe gives none.
        inputs: the names that it reads, None for what the layer before it gives.
        is_list: whether `inputs` is a list of several, which a layer takes as one.
    """

    value: Value
    at: str
    path: str
    name: str | None
    inputs: tuple[Value, ...] | None
    is_list: bool

    @property
    def place(self) -> Place:
        return self.value.place

    @property
    def names(self) -> list[str]:
        """The names that it reads."""
        return [str(value.data) for value in self.inputs or ()]

    def without_name(self) -> Value:
        """Return the layer without its name, for wirings that are no layers of Keras."""
        return _without(self.value, "name")


def entries(model: Value) -> list[Entry]:
    """Return the layers of a model that is a list, each with what it reads."""
    return [_entry(value, f"model[{index}]") for index, value in enumerate(model.data)]


def is_wired(root: Value) -> bool:
    """Return whether a recipe names inputs of layers, or outputs of its model."""
    model = root.get("model")
    if model is None or not model.is_list:
        return False
    return outputs(root) is not None or any(entry.inputs is not None for entry in entries(model))


def outputs(root: Value) -> list[str] | None:
    """Return the names of the layers that give the model's outputs, None where the last layer does."""
    value = root.get("outputs")
    if value is None or value.data is None:
        return None
    return [str(item.data) for item in (value.data if value.is_list else (value,))]


def check(root: Value) -> list[Problem]:
    """Return what is wrong with the wiring of a recipe, as far as it can be seen without its data."""
    model, given = root.get("model"), root.get("outputs")
    if model is None or not (model.is_list and model.data):
        if given is not None and given.data is not None and model is not None:
            message = "names layers of a model that is a list of layers; this model is one architecture. Remove it."
            return [Problem(given.key or given.place, "outputs", message)]
        return []
    found = entries(model)
    problems = [problem for entry in found for problem in _ill_formed(entry)]
    problems += _outputs_ill_formed(given)
    if problems or not is_wired(root):
        return problems
    problems += _repeated(found)
    problems += _forward(found)
    problems += _unread(found, outputs(root))
    return problems + _by_output(root)


def check_names(root: Value, inputs: Sequence[str], targets: Sequence[str]) -> list[Problem]:
    """Return which names of a recipe's wiring are neither layers nor data.

    Args:
        inputs: names that the data give, `INPUT` for data that are one array.
        targets: names of the data's targets, empty where there is one.
    """
    model = root.get("model")
    if model is None or not model.is_list:
        return []
    found = entries(model)
    problems: list[Problem] = []
    layers = [entry.name for entry in found if entry.name is not None]
    known = [*layers, *inputs]
    for entry in found:
        for value in entry.inputs or ():
            if isinstance(value.data, str) and value.data not in known:  # else `check` has reported it
                listed = f" The data give: {_listed(inputs)}." if not suggest(value.data, known) else ""
                message = f"no layer and no input of the data is named '{value.data}'."
                problems.append(
                    Problem(value.place, f"{entry.path}.inputs", message + suggest(value.data, known) + listed)
                )
        if entry.name in inputs and is_wired(root):
            message = f"the data's input is named '{entry.name}' too. Give the layer another name."
            problems.append(Problem(_name_place(entry), f"{entry.path}.name", message))
    return problems + _targets(root, model, targets)


def without_inputs(value: Value) -> Value:
    """Return a layer without the key that says what it reads."""
    return _without(value, "inputs")


# -- reading ---------------------------------------------------------------------------------------------


def _entry(value: Value, at: str) -> Entry:
    name = object_name(value)
    path = join(at, name) if name is not None else at
    body = value.get(name) if name is not None else None
    if body is None or not body.is_mapping:
        return Entry(value, at, path, None, None, False)
    named, given = body.get("name"), body.get("inputs")
    own = named.data if named is not None and isinstance(named.data, str) else None
    if given is None or given.data is None:
        return Entry(without_inputs(value), at, path, own, None, False)
    items = given.data if given.is_list else (given,)
    return Entry(without_inputs(value), at, path, own, tuple(items), len(items) > 1)


def _without(value: Value, key: str) -> Value:
    name = object_name(value)
    body = value.get(name) if name is not None else None
    if body is None or not body.is_mapping or key not in body.data:
        return value
    left = replace(body, data=MappingProxyType({k: v for k, v in body.data.items() if k != key}))
    return replace(value, data=MappingProxyType({name: left}))


def _name_place(entry: Entry) -> Place:
    name = object_name(entry.value)
    named = entry.value.get(name, "name")
    return entry.place if named is None else named.place


# -- problems --------------------------------------------------------------------------------------------


def _ill_formed(entry: Entry) -> list[Problem]:
    path, problems = f"{entry.path}.inputs", []
    name = object_name(entry.value)
    named = entry.value.get(name, "name") if name is not None else None
    if named is not None and named.data is not None and not isinstance(named.data, str):
        problems.append(Problem(named.place, f"{entry.path}.name", f"must be a text. Got {shown(named)}."))
    if entry.inputs == ():
        problems.append(Problem(entry.place, path, "is empty. Name layers, or leave it out."))
    for value in entry.inputs or ():
        if not isinstance(value.data, str):
            message = f"must be names of layers or of the data's inputs. Got {shown(value)}."
            problems.append(Problem(value.place, path, message))
    return problems


def _outputs_ill_formed(given: Value | None) -> list[Problem]:
    if given is None or given.data is None:
        return []
    items = given.data if given.is_list else (given,)
    if not items:
        return [Problem(given.place, "outputs", "is empty. Name layers, or leave it out.")]
    problems, seen = [], set()
    for item in items:
        if not isinstance(item.data, str):
            problems.append(Problem(item.place, "outputs", f"must be names of layers. Got {shown(item)}."))
        elif item.data in seen:
            problems.append(Problem(item.place, "outputs", f"names '{item.data}' twice"))
        else:
            seen.add(item.data)
    return problems


def _repeated(found: Sequence[Entry]) -> list[Problem]:
    problems: list[Problem] = []
    first: dict[str, Place] = {}
    for entry in found:
        if entry.name is None:
            continue
        if entry.name in first:
            message = (
                f"a layer at line {first[entry.name].line} is named '{entry.name}' too. Name one of them otherwise."
            )
            problems.append(Problem(_name_place(entry), f"{entry.path}.name", message))
        else:
            first[entry.name] = _name_place(entry)
    return problems


def _forward(found: Sequence[Entry]) -> list[Problem]:
    """Return where a layer reads itself or a layer further down, so that there is a cycle or no order."""
    problems = []
    place_of = {entry.name: index for index, entry in reversed([*enumerate(found)]) if entry.name is not None}
    for index, entry in enumerate(found):
        for value in entry.inputs or ():
            at = place_of.get(value.data, -1)
            if at < index:
                continue
            if at == index:
                message = f"'{value.data}' reads itself. Name a layer above it."
            else:
                goes_back = _reads(found, at, index)
                why = "which reads this one: a cycle" if goes_back else "and a layer reads only what stands above it"
                remedy = "Name another layer." if goes_back else f"Move '{value.data}' up."
                message = f"'{value.data}' stands further down, at line {found[at].place.line}, {why}. {remedy}"
            problems.append(Problem(value.place, f"{entry.path}.inputs", message))
    return problems


def _reads(found: Sequence[Entry], reader: int, source: int) -> bool:
    """Return whether a layer reads, perhaps through others, what another gives."""
    number = {entry.name: index for index, entry in enumerate(found) if entry.name is not None}
    waiting, seen = [reader], set()
    while waiting:
        index = waiting.pop()
        if index == source:
            return True
        if index in seen:
            continue
        seen.add(index)
        names = found[index].inputs
        before = [index - 1] if names is None else [number.get(value.data, -1) for value in names]
        waiting += [one for one in before if one >= 0]
    return False


def _unread(found: Sequence[Entry], given: Sequence[str] | None) -> list[Problem]:
    """Return the layers whose output no layer reads and the model does not give."""
    read = {name for entry in found for name in entry.names} | set(given or ())
    problems = []
    for entry, following in zip(found, [*found[1:], None], strict=True):
        if following is None:
            is_read = given is None or entry.name in read
            remedy = f"Name it in outputs ({', '.join(given or ())}), or remove it."
        else:
            is_read = following.inputs is None or entry.name in read
            remedy = "Give it a name and name it in the inputs of another layer, or remove it."
            if entry.name is not None:
                remedy = f"Name '{entry.name}' in the inputs of another layer, or remove it."
        if not is_read:
            why = "" if following is None else ", since the next layer names its inputs"
            problems.append(Problem(entry.place, entry.path, f"nothing reads this layer{why}. {remedy}"))
    return problems


def _targets(root: Value, model: Value, targets: Sequence[str]) -> list[Problem]:
    """Return where outputs are no layers, or not those of the data's targets."""
    given, value = outputs(root), root.get("outputs")
    problems = []
    names = [entry.name for entry in entries(model) if entry.name is not None]
    items: Iterable[Value] = () if value is None or given is None else value.data if value.is_list else (value,)
    for item in items:
        if item.data not in names:
            problems.append(
                Problem(item.place, "outputs", f"no layer is named '{item.data}'.{suggest(item.data, names)}")
            )
        elif targets and item.data not in targets:
            message = f"the data have no target '{item.data}', but {_listed(targets)}."
            problems.append(Problem(item.place, "outputs", f"{message}{suggest(item.data, targets)}"))
    if problems:
        return problems
    if targets and (missing := [name for name in targets if name not in (given or ())]):
        message = f"the data have the targets {_listed(targets)}: name the layers that give them after these, and write"
        message += f" outputs: [{', '.join(targets)}] beside model."
        if given is not None:
            message = f"no output for the data's target{'s' * (len(missing) > 1)} {_listed(missing)}. Add it."
        place = (value or model).place
        problems.append(Problem(place, "outputs" if given is not None else "model", message))
    elif not targets and given is not None and len(given) > 1 and value is not None:
        message = f"are {len(given)}, but the data have one target. Name one output, or data with a target for each."
        problems.append(Problem(value.place, "outputs", message))
    return problems


def _by_output(root: Value) -> list[Problem]:
    """Return where compile says something for no output, or not for each."""
    given, section = outputs(root), root.get("compile")
    if given is None or len(given) < 2 or section is None or not section.is_mapping:
        return []
    problems = []
    for key in BY_OUTPUT:
        value, path = section.get(key), f"compile.{key}"
        if value is None or value.data is None:
            continue
        if not value.is_mapping or object_name(value) is not None:
            form = ", ".join(f"{name}: ..." for name in given)
            message = f"must be a mapping of outputs where the model has several: {{{form}}}. Got {shown(value)}."
            problems.append(Problem(value.key or value.place, path, message))
            continue
        for name, item in value.data.items():
            if name not in given:
                message = f"the model has no output '{name}'.{suggest(name, given)} Outputs: {_listed(given)}."
                problems.append(Problem(item.key or item.place, join(path, name), message))
        missing = [name for name in given if name not in value.data]
        if missing and key in ("loss", "loss_weights"):
            problems.append(
                Problem(value.key or value.place, path, f"has nothing for the output {_listed(missing)}. Add it.")
            )
    return problems


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(str, names))
