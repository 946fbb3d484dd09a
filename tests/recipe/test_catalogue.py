"""Names: the key's kind decides, dltool's folders come first, nothing is listed by hand."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import pytest

from dltool.library.schedules.constant import Constant
from dltool.recipe import builder, catalogue, signatures


def test_the_same_name_differs_by_kind() -> None:
    assert catalogue.find("losses", "CategoricalCrossentropy") is keras.losses.CategoricalCrossentropy
    assert catalogue.find("metrics", "CategoricalCrossentropy") is keras.metrics.CategoricalCrossentropy
    assert catalogue.find("initializers", "Constant") is keras.initializers.Constant
    assert catalogue.find("schedules", "Constant") is Constant


@pytest.mark.parametrize(
    ("kind", "some"),
    [
        ("activations", {"LeakyReLU", "PReLU", "ReLU", "Softmax"}),
        ("applications", {"ResNet50", "MobileNetV3Small"}),
        ("callbacks", {"EarlyStopping", "CSVLogger"}),
        ("constraints", {"MaxNorm"}),
        ("datasets", {"Digits", "Mnist", "Csv"}),
        ("initializers", {"HeNormal", "VarianceScaling"}),
        ("layers", {"Dense", "Conv2D", "FeatureSpace", "Normalization"}),
        ("losses", {"Huber"}),
        ("metrics", {"F1Score"}),
        ("objectives", {"Autoencoder", "Contractive", "Denoising"}),
        ("optimizers", {"Lamb", "Muon", "LossScaleOptimizer"}),
        ("procedures", {"GradientDescent"}),
        ("regularizers", {"L2"}),
        ("schedules", {"CosineDecay", "LinearDecay"}),
    ],
)
def test_known_names_of_a_kind_can_all_be_found(kind: str, some: set[str]) -> None:
    known = catalogue.known(kind)
    assert some <= set(known)
    assert all(catalogue.find(kind, name) is not None for name in known)


@pytest.mark.parametrize(
    "kind", ["procedures", *sorted(path.name for path in (catalogue.PACKAGE / "library").iterdir() if path.is_dir())]
)
def test_own_names_are_those_of_the_syntax_trees(kind: str) -> None:
    by_tree = {
        node.name: ".".join(["dltool", *catalogue.folder(kind).split("/"), path.stem])
        for path in (catalogue.PACKAGE / catalogue.folder(kind)).glob("[!_]*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name.lower() == path.stem.replace("_", "")
    }
    assert catalogue.own(kind) == by_tree


def test_base_classes_and_other_kinds_are_no_names() -> None:
    for kind, name in [
        ("layers", "Layer"),
        ("optimizers", "Optimizer"),
        ("activations", "Dense"),
        ("losses", "Loss"),
    ]:
        with pytest.raises(catalogue.UnknownNameError, match=f"no {catalogue.singular(kind)} named '{name}'"):
            catalogue.find(kind, name)


@pytest.mark.parametrize(("kind", "name"), sorted(catalogue.REFUSED))
def test_refused_names_say_why_and_are_not_suggested(kind: str, name: str) -> None:
    with pytest.raises(
        catalogue.UnknownNameError, match=f"{name} is not for recipes: .+\\. .+\\.|{name} is not .+ itself"
    ):
        catalogue.find(kind, name)
    assert name not in catalogue.known(kind)


def test_a_new_file_is_found_without_a_line_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "library/layers"
    folder.mkdir(parents=True)
    (folder / "radial_basis.py").write_text(
        "import nothing_there\n\n\nclass RadialBasis:\n    pass\n\n\nclass Other:\n    pass\n"
    )
    (folder / "_private.py").write_text("class Private:\n    pass\n")
    monkeypatch.setattr(catalogue, "PACKAGE", tmp_path)
    catalogue.own.cache_clear()
    try:
        assert catalogue.own("layers") == {"RadialBasis": "dltool.library.layers.radial_basis"}
        assert catalogue.own("nowhere") == {}
    finally:
        monkeypatch.undo()
        catalogue.own.cache_clear()


@pytest.mark.parametrize(
    "find",
    ["catalogue.find('datasets', 'Digits')", "catalogue.find('schedules', 'WarmUp')", "catalogue.known('schedules')"],
)
def test_finding_datasets_and_schedules_needs_no_tensorflow(find: str) -> None:
    code = f"""
import sys
from dltool.recipe import builder, catalogue, signatures
{find}
print('tensorflow' in sys.modules, 'keras' in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


# -- what the source says, against Keras itself ---------------------------------------------------------


def imported(kind: str) -> dict[str, Any]:
    """Return the names of a kind as the imported namespaces of Keras have them, and dltool's own modules."""
    found: dict[str, Any] = {}
    for namespace in catalogue.KERAS_NAMESPACES.get(kind, ()):
        for name, value in vars(importlib.import_module(namespace)).items():
            fits = inspect.isclass(value) or (kind == "applications" and inspect.isfunction(value))
            if namespace != catalogue.KERAS_NAMESPACES[kind][0]:  # activations are also layers, but only some layers
                fits = fits and value.__module__.startswith(f"keras.src.{namespace.split('.')[1]}.{kind}.")
            if fits and name[0].isupper() and name not in found and name not in catalogue.WITHOUT_USE:
                found[name] = value
    for (other, name), namespace in catalogue.KERAS_ELSEWHERE.items():
        if other == kind:
            found[name] = getattr(importlib.import_module(namespace), name)
    for name, module in catalogue.own(kind).items():
        found[name] = getattr(importlib.import_module(module), name)
    return {name: value for name, value in found.items() if (kind, name) not in catalogue.REFUSED}


@pytest.mark.parametrize("kind", catalogue.KINDS)
def test_names_arguments_and_defaults_are_those_of_the_imported_classes(kind: str) -> None:
    from dltool.library.layers._application_base import with_preprocessing

    real = imported(kind)
    assert catalogue.known(kind) == sorted(real) != []
    unreadable = []
    for name, value in real.items():
        assert catalogue.find(kind, name) is value
        target = (
            with_preprocessing(value) if kind == "applications" and value.__module__.startswith("keras.") else value
        )
        wanted = builder.parameters(target)
        outline = builder.parameters(catalogue.outline(kind, name))
        assert list(outline) == list(wanted), name
        for key, parameter in outline.items():
            if parameter.default is signatures.UNREADABLE:
                unreadable.append((name, key))
            else:
                assert (name, key, parameter.default) == (name, key, wanted[key].default)
    assert len(unreadable) <= 1  # 2.0**15 is no literal


@pytest.mark.parametrize("kind", catalogue.KINDS)
def test_every_name_is_described_in_one_line(kind: str) -> None:
    silent = [name for name in catalogue.known(kind) if not catalogue.describe(kind, name).line]
    assert silent in ([], ["EfficientNetV2B0"]) or kind == "applications", silent
    assert all("\n" not in catalogue.describe(kind, name).line for name in catalogue.known(kind))


@pytest.mark.parametrize("kind", catalogue.BY_WORD)
def test_words_are_those_that_keras_takes(kind: str) -> None:
    namespace, source = importlib.import_module(f"keras.{kind}"), importlib.import_module(f"keras.src.{kind}")

    def takes(word: str) -> bool:
        try:
            namespace.get(word)
        except Exception:  # ValueError, TypeError, KeyError of a class that needs arguments
            return False
        return True

    words = {
        *source.ALL_OBJECTS_DICT,
        *catalogue.words(kind),
        *catalogue.taken(kind),
        *catalogue.known(kind),
        "no_word",
    }
    words -= {*catalogue.METRIC_WORDS} if kind == "metrics" else set()
    assert len(words) > 3
    assert {word for word in words if catalogue.is_word(kind, word)} == {word for word in words if takes(word)}


@pytest.mark.parametrize("kind", catalogue.WITH_WORDS)
def test_lower_case_names_are_those_of_the_imported_namespace(kind: str) -> None:
    wanted = inspect.isclass if kind == "initializers" else inspect.isfunction
    found = vars(importlib.import_module(f"keras.{kind}"))
    names = [name for name in found if wanted(found[name]) and name[0].islower() and name not in catalogue.PLUMBING]
    assert catalogue.words(kind) == sorted(names) != []


@pytest.mark.parametrize(
    ("kind", "word"),
    [("optimizers", "adm"), ("metrics", "acuracy"), ("regularizers", "l1_l3"), ("activations", "rellu")],
)
def test_lower_case_words_are_suggested_for_lower_case_mistakes(kind: str, word: str) -> None:
    assert builder.suggest(word, catalogue.taken(kind)).split("'")[1] in ("adam", "accuracy", "l1l2", "relu")
