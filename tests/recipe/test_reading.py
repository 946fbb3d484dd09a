"""Recipes: scalars as users mean them, extends, and the outer form, each problem at its place."""
# ruff: noqa: E501

from __future__ import annotations

import io
import math
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dltool.errors import DltoolError, Place, RecipeError, UsageError
from dltool.recipe import reading
from dltool.recipe.reading import Recipe
from dltool.recipe.values import MAX_DEPTH, Value, from_text

SMALL = """\
# A small net.
data:
  dataset: Digits
model:
  - Flatten
  - Dense: 10
compile:
  optimizer: {SGD: {learning_rate: 0.1, momentum: 0.9}}
  loss: MeanSquaredError
fit:
  epochs: 3
"""


def read(text: str) -> object:
    return from_text(text, "r.yaml").plain()


def problems(text: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        from_text(text, "r.yaml")
    return str(caught.value).splitlines()


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def refused(path: Path, *overrides: str) -> list[str]:
    """Lines of the error that loading gives, the folder's name left out."""
    with pytest.raises(DltoolError) as caught:
        reading.load(path, overrides)
    return str(caught.value).replace(f"{path.parent}/", "").splitlines()


# -- scalars -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("60_000", 60000),
        ("1_000.5", 1000.5),
        ("007", 7),  # YAML 1.1 would read octal
        ("0x1F", 31),
        ("0o17", 15),
        ("+3", 3),
        ("-0", 0),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("true", True),
        ("False", False),
        ("", None),
        ("~", None),
        ("null", None),
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("off", "off"),
        ("y", "y"),
        ("12:30", "12:30"),
        ("1:2:3", "1:2:3"),
        ("2026-01-02", "2026-01-02"),
        ("1.2.3", "1.2.3"),
        ("1e", "1e"),
        ("_1", "_1"),
        ("inf", "inf"),
        ("'1e-3'", "1e-3"),
        ('"true"', "true"),
        ("=", "="),
    ],
)
def test_scalars_are_read_as_users_mean_them(text: str, meant: object) -> None:
    got = read(f"k: {text}")["k"]
    assert got == meant
    assert type(got) is type(meant)


def test_nan_is_read() -> None:
    assert math.isnan(read("k: .nan")["k"])


def test_keys_of_class_weight_are_numbers() -> None:
    assert read("{0: 1.0, 1: 2}") == {0: 1.0, 1: 2}


# -- what YAML may not hold ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: 2\na: 3\n", "r.yaml:3:1: a: repeated key, first given at line 1"),
        ("fit:\n  epochs: 1\n  epochs: 2\n", "r.yaml:3:3: fit.epochs: repeated key, first given at line 2"),
        ("a: !!python/name:os.system x\n", "r.yaml:1:4: a tag (!!python/name:os.system) is not allowed in recipes. Remove it."),
        ("a: !!str 5\n", "r.yaml:1:4: a tag (!!str) is not allowed in recipes. Remove it."),
        ("a: [1, ! x]\n", "r.yaml:1:8: a tag (!) is not allowed in recipes. Remove it."),
        ("a: 1\n---\nb: 2\n", "r.yaml:2:1: a recipe is one document: remove the second '---'"),
        ("fit:\n\tepochs: 1\n", "r.yaml:2:1: a tab cannot indent or begin a value. Use spaces."),
        ("a: b: c\n", "r.yaml:1:5: a second ': ' in one value. Quote text; put an inner mapping in {...} or on its own line."),
        ("x: &x {a: 1}\ny:\n  <<: *x\n", "r.yaml:3:3: y: merge keys (<<) are not supported. Use extends."),
        ("? [a]\n: 1\n", "r.yaml:1:3: a key must be a plain word"),
        ("a: *nothing\n", "r.yaml:1:4: not YAML: found undefined alias 'nothing'"),
        ("a: x\a\n", "r.yaml:1:5: the character U+0007 is not allowed in YAML"),
        ("# only a comment\n", "r.yaml:1:1: is empty"),
        ("", "r.yaml:1:1: is empty"),
    ],
)  # fmt: skip
def test_refused_yaml_is_one_line_at_its_place(text: str, line: str) -> None:
    assert problems(text) == [line]


def test_every_repeated_key_is_reported_in_order_of_place() -> None:
    assert [line.split(": ")[0] for line in problems("a: 1\na: 2\nb: {c: 1, c: 2}\n")] == [
        "r.yaml:2:1",
        "r.yaml:3:11",
    ]


@pytest.mark.parametrize("text", ["a: {b: [", "a: 'b", "a: [1, 2\nb: 3", "- a\nb: 1", "a: @x", "%YAML 9.9\n--- a"])
def test_broken_yaml_is_one_line_with_a_place(text: str) -> None:
    (line,) = problems(text)
    assert line.startswith("r.yaml:") and line.split(":")[1].isdigit()


def test_a_billion_laughs_end_quickly_in_one_line() -> None:
    text = "a0: &a0 [lol, lol]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 30))
    started = time.process_time()
    (line,) = problems(text)
    assert "more than 100,000 values once aliases are expanded" in line
    assert time.process_time() - started < 5


def test_a_recursive_alias_ends_in_one_line() -> None:
    (line,) = problems("a: &a [*a]\n")
    assert line.endswith(f"nested deeper than {MAX_DEPTH} levels once aliases are expanded")


def test_aliases_are_allowed_where_they_are_few() -> None:
    assert read("a: &x {n: 1}\nb: [*x, *x]") == {"a": {"n": 1}, "b": [{"n": 1}, {"n": 1}]}


@pytest.mark.parametrize("depth", [MAX_DEPTH + 5, 20_000])
def test_depth_is_bounded(depth: int) -> None:
    (line,) = problems("[" * depth + "]" * depth)
    assert line.endswith(f"nested deeper than {MAX_DEPTH} levels")


def test_a_number_of_a_million_digits_is_one_line() -> None:
    assert problems(f"seed: {'9' * 10_000}") == [
        "r.yaml:1:7: seed: a whole number of more than 1,000 digits. Quote it if it is text."
    ]


def test_a_file_that_is_too_large_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = write(tmp_path, "r.yaml", "a: [" + "1, " * 100_000 + "]")
    assert refused(path) == ["r.yaml:1:1: is larger than 250,000 bytes: not a recipe"]


def test_bytes_that_are_not_utf8_have_line_and_column_in_characters(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes("a: 1\nü: é".encode() + b"\xff\n")
    assert refused(path) == ["r.yaml:2:5: not UTF-8 text. Save the recipe as UTF-8."]


def test_a_byte_order_mark_does_not_shift_places_or_hide_the_purpose(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + SMALL.encode())
    assert reading.load(path).purpose == "A small net."
    path.write_bytes(b"\xef\xbb\xbfsead: 1\n" + SMALL.encode())
    assert refused(path) == ["r.yaml:1:1: sead: unknown key. Did you mean 'seed'?"]


@pytest.mark.parametrize(("text", "column"), [("- a\n", 1), ("just text", 1), ("  5", 3)])
def test_a_root_that_is_no_mapping_is_refused(tmp_path: Path, text: str, column: int) -> None:
    path = write(tmp_path, "r.yaml", text)
    wanted = "a recipe is a mapping of keys such as data:, model:, compile:, fit:"
    assert refused(path) == [f"r.yaml:1:{column}: {wanted}"]


# -- places --------------------------------------------------------------------------------------------


def test_values_and_keys_know_line_and_column() -> None:
    root = from_text("a:\n  - B: {c: 1}\n", "r.yaml")
    value = root["a"].data[0]["B"]["c"]
    assert (value.place, value.key) == (Place("r.yaml", 2, 12), Place("r.yaml", 2, 9))
    assert [path for path, _ in root.walk()] == ["", "a", "a[0]", "a[0].B", "a[0].B.c"]


def test_values_are_read_only() -> None:
    with pytest.raises(TypeError):
        from_text("a: 1", "r.yaml").data["a"] = 2


# -- text that loads again -----------------------------------------------------------------------------

TRICKY = st.sampled_from(
    ["no", "on", "1e-3", "1E5", "0o17", "0x1F", "007", "60_000", "12:30", "2026-01-02", "${data.x}", "", " ", "~",
     ".inf", ".nan", "null", "<<", "=", "- a", "a: b", "a #b", " lead", "trail ", "a\nb", "\n", "a\n\n b\n", "\t",
     "\u2028", "\x85", "é", "漢字", "😀", "'", '"', "\\", "!x", "&x", "*x", "%x", "@x", "|", ">", "?", "---", "..."]
)  # fmt: skip
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=150) | TRICKY
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
KEYS = TEXT | st.integers(-5, 5)
PLAIN = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(KEYS, PLAIN, max_size=4))
def test_what_to_yaml_writes_loads_to_the_same_values(plain: dict) -> None:
    text = Recipe(value_of(plain), "r.yaml", "").to_yaml()
    assert exactly(read(text)) == exactly(plain)


@pytest.mark.parametrize("number", [1e-05, 1e22, 5e-324, 0.1, -0.0, 1e16, math.inf, 12345678901234567890, 2**31])
def test_numbers_survive_to_yaml_with_their_type(number: float) -> None:
    again = read(Recipe(value_of({"k": number}), "r.yaml", "").to_yaml())["k"]
    assert (repr(again), type(again)) == (repr(number), type(number))


def value_of(plain: object) -> Value:
    place = Place("r.yaml", 1, 1)
    if isinstance(plain, dict):
        return Value({key: value_of(item) for key, item in plain.items()}, place)
    if isinstance(plain, list):
        return Value(tuple(map(value_of, plain)), place)
    return Value(plain, place)


def exactly(plain: object) -> object:
    """Values with their types: 1, 1.0 and True differ."""
    if isinstance(plain, dict):
        return [(exactly(key), exactly(item)) for key, item in plain.items()]
    if isinstance(plain, list):
        return list(map(exactly, plain))
    return type(plain).__name__, repr(plain)


# -- extends -------------------------------------------------------------------------------------------


def test_extends_merges_mappings_deeply_and_replaces_lists(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", SMALL)
    path = write(tmp_path, "sub/r.yaml", "extends: ../base.yaml\nfit: {batch_size: 8}\nmodel: [Dense: 1]\n")
    plain = reading.load(path).plain()
    assert plain["fit"] == {"epochs": 3, "batch_size": 8}
    assert plain["model"] == [{"Dense": 1}]
    assert plain["data"] == {"dataset": "Digits"}
    assert "extends" not in plain


@pytest.mark.parametrize(
    ("over", "optimizer"),
    [
        ("{SGD: {momentum: 0.5}}", {"SGD": {"learning_rate": 0.1, "momentum": 0.5}}),
        ("{Adam: {beta_1: 0.8}}", {"Adam": {"beta_1": 0.8}}),
        ("Adam", "Adam"),
        ("adam", "adam"),
        ("SGD", "SGD"),
    ],
)
def test_an_object_merges_with_its_own_name_and_replaces_another(tmp_path: Path, over: str, optimizer: object) -> None:
    write(tmp_path, "base.yaml", SMALL)
    path = write(tmp_path, "r.yaml", f"extends: base.yaml\ncompile: {{optimizer: {over}}}\n")
    assert reading.load(path).plain()["compile"] == {"optimizer": optimizer, "loss": "MeanSquaredError"}


def test_extends_takes_a_bundled_name(tmp_path: Path) -> None:
    path = write(tmp_path, "r.yaml", "extends: mlp/digits\nfit: {epochs: 2}\n")
    loaded = reading.load(path)
    assert loaded.setting("fit", "epochs") == 2
    assert loaded.setting("data", "dataset") == "Digits"


def test_problems_of_a_base_stand_at_its_own_place(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", SMALL + "  epoch: 3\n")
    path = write(tmp_path, "sub/r.yaml", "extends: ../base.yaml\nsed: 1\n")
    with pytest.raises(RecipeError) as caught:
        reading.load(path)
    assert str(caught.value).splitlines() == [
        f"{tmp_path}/base.yaml:12:3: fit.epoch: unknown key. Did you mean 'epochs'?",
        f"{tmp_path}/sub/r.yaml:2:1: sed: unknown key. Did you mean 'seed'?",
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("r.yaml", "r.yaml extends this recipe again"),
        ("other.yaml", "other.yaml: no such recipe. 'dltool recipes' lists the bundled ones."),
        ("a: b.yaml", "a: b.yaml: no such recipe. 'dltool recipes' lists the bundled ones."),
        (
            "mlp/digit",
            "mlp/digit: no such recipe. Did you mean 'mlp/digits'? 'dltool recipes' lists the bundled ones.",
        ),
        ("[a]", "must be a recipe's path or bundled name. Got a list."),
        ("", "must be a recipe's path or bundled name. Got nothing."),
    ],
)
def test_what_extends_cannot_name_is_told_at_its_place(tmp_path: Path, value: str, message: str) -> None:
    quoted = f"'{value}'" if ": " in value else value
    path = write(tmp_path, "r.yaml", f"seed: 1\nextends: {quoted}\n")
    (line,) = refused(path)
    place, _, rest = line.partition(": ")
    assert place == ("r.yaml:2:10" if value else "r.yaml:2:9")
    assert rest == f"extends: {message}"


def test_a_cycle_through_two_files_ends(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "extends: b.yaml\n")
    path = write(tmp_path, "b.yaml", "extends: a.yaml\n")
    assert refused(path) == ["a.yaml:1:10: extends: b.yaml extends this recipe again"]


def test_a_chain_that_is_too_long_ends(tmp_path: Path) -> None:
    for number in range(30):
        write(tmp_path, f"r{number}.yaml", f"extends: r{number + 1}.yaml\n")
    (line,) = refused(tmp_path / "r0.yaml")
    assert line.endswith("extends: more than 16 recipes extend each other in turn")


# -- finding -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cnn/lenet5", "cnn/lenet5.yaml", "recipes/cnn/lenet5.yaml"])
def test_a_bundled_recipe_is_found_by_name_anywhere(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert reading.load(name).name == "lenet5"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("cnn/lenet", "cnn/lenet: no such recipe. Did you mean 'cnn/lenet5'?"),
        (".", ".: is a folder without a recipe.yaml."),
        ("", ": is a folder"),
        ("x" * 5000, ": no such recipe."),
        ("a\nb: 1", "no such recipe."),
    ],
)
def test_a_recipe_that_is_not_there_is_a_usage_error(source: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        reading.load(source)
    assert message in str(caught.value)


def test_every_bundled_recipe_loads_and_says_its_purpose() -> None:
    names = reading.bundled_names()
    assert "cnn/digits" in names
    for name in names:
        assert reading.load(name).purpose, name


@pytest.mark.parametrize(
    ("head", "purpose"),
    [
        ("# One line.\n# Another.\n", "One line."),
        ("#One line.\n", "One line."),
        ("\n---\n# One line.\n", "One line."),
        ("seed: 1\n# not this\n", ""),
        ("", ""),
    ],
)
def test_the_purpose_is_the_first_comment_line(tmp_path: Path, head: str, purpose: str) -> None:
    assert reading.purpose(write(tmp_path, "r.yaml", head)) == purpose


# -- the outer form ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("fit:", "fitt:", "r.yaml:10:1: fitt: unknown key. Did you mean 'fit'?"),
        ("  epochs: 3", "  epoch: 3", "r.yaml:11:3: fit.epoch: unknown key. Did you mean 'epochs'?"),
        ("  epochs: 3", "  epochs: 0", "r.yaml:11:11: fit.epochs: must be an int >= 1. Got 0."),
        ("  epochs: 3", "  epochs: 1e1", "r.yaml:11:11: fit.epochs: must be an int >= 1. Got 10.0."),
        ("  epochs: 3", "  epochs: true", "r.yaml:11:11: fit.epochs: must be an int >= 1. Got True."),
        ("  epochs: 3", "  epochs: [3]", "r.yaml:11:11: fit.epochs: must be an int >= 1. Got a list."),
        ("  epochs: 3", "  epochs:3", "r.yaml:11:3: fit: must be a mapping of epochs, batch_size, batch_tokens, callbacks, shuffle, "
            "class_weight, steps_per_epoch, validation_steps, validation_batch_size, validation_freq. Got 'epochs:3'."),
        ("  epochs: 3", "  - epochs", "r.yaml:11:3: fit: must be a mapping of epochs, batch_size, batch_tokens, callbacks, shuffle, "
            "class_weight, steps_per_epoch, validation_steps, validation_batch_size, validation_freq. Got a list."),
        ("  epochs: 3", "  validation_split: 0.1",
            "r.yaml:11:3: fit.validation_split: unknown key. It belongs under data: (data.validation_split)."),
        ("  epochs: 3", "  verbose: 1", "r.yaml:11:3: fit.verbose: unknown key. Use dltool train --quiet."),
        ("  epochs: 3", "  qqq: 1", "r.yaml:11:3: fit.qqq: unknown key. Known: epochs, batch_size, batch_tokens, callbacks, shuffle, "
            "class_weight, steps_per_epoch, validation_steps, validation_batch_size, validation_freq."),
        ("  epochs: 3", "  callbacks: {EarlyStopping: {patience: 1}}",
            "r.yaml:11:14: fit.callbacks: must be a list of callbacks. Got a mapping."),
        ("  epochs: 3", "  class_weight: [1, 2]",
            "r.yaml:11:17: fit.class_weight: must be a mapping of class (name or number) to weight, or balanced. Got a list."),
        ("  dataset: Digits", "  datset: Digits", "r.yaml:3:3: data.dataset: is missing. Name a dataset, such as Digits."),
        ("  dataset: Digits", "  dataset: Digits\n  validation_split: 10",
            "r.yaml:4:21: data.validation_split: must be a fraction in [0, 1). Got 10."),
        ("  dataset: Digits", "  dataset: Digits\n  test_split: .nan",
            "r.yaml:4:15: data.test_split: must be a fraction in [0, 1). Got nan."),
        ("  dataset: Digits", "  dataset: {Npz: '${data.path}'}",
            "r.yaml:3:18: data.dataset.Npz: ${data.path}: facts of the data stand in model, compile, procedure and data.augment only"),
        ("  - Dense: 10", "  - Dense: ${num_classes}",
            "r.yaml:6:12: model[1].Dense: '${num_classes}': a reference is a whole value and reads ${data.FACT}"),
        ("  - Dense: 10", "  - Dense: x${data.num_classes}",
            "r.yaml:6:12: model[1].Dense: 'x${data.num_classes}': a reference is a whole value and reads ${data.FACT}"),
        ("fit:", "seed: 4294967296\nfit:", "r.yaml:10:7: seed: must be an int from 0 to 4294967295. Got 4294967296."),
        ("fit:", "select: {mode: max}\nfit:",
            "r.yaml:10:9: select.monitor: is missing. Name a metric, such as val_accuracy."),
        ("fit:", "select: {monitor: val_loss, mode: auto}\nfit:", "r.yaml:10:35: select.mode: must be min or max. Got 'auto'."),
        ("fit:", "deterministic: yes\nfit:", "r.yaml:10:16: deterministic: must be true or false. Got 'yes'."),
        ("fit:", "dtype_policy: 16\nfit:",
            "r.yaml:10:15: dtype_policy: must be a dtype policy's name, such as mixed_bfloat16. Got 16."),
        ("  loss:", "  jit_compile: no\n  loss:", "r.yaml:9:16: compile.jit_compile: must be true, false or auto. Got 'no'."),
    ],
)  # fmt: skip
def test_a_problem_of_the_outer_form_says_where_what_and_what_to_do(
    tmp_path: Path, old: str, new: str, line: str
) -> None:
    assert old in SMALL
    assert line in refused(write(tmp_path, "r.yaml", SMALL.replace(old, new, 1)))


@pytest.mark.parametrize("model", ["5", "[]", "dense", "", "{Dense: 1, Flatten: }"])
def test_a_model_that_is_neither_list_nor_architecture_is_refused(tmp_path: Path, model: str) -> None:
    text = f"data: {{dataset: Digits}}\ncompile: {{}}\nmodel: {model}\n"
    (line,) = refused(write(tmp_path, "r.yaml", text))
    assert ": model: must be a list of layers or one named architecture. Got " in line


def test_missing_sections_are_all_named(tmp_path: Path) -> None:
    path = write(tmp_path, "r.yaml", "\nseed: 1\n")
    assert refused(path) == [f"r.yaml:2:1: {name}: is missing" for name in ("data", "model", "compile")]


def test_all_problems_come_at_once_in_order_of_place(tmp_path: Path) -> None:
    text = SMALL.replace("epochs: 3", "epochs: -1\n  shuffle: 1").replace("dataset", "dateset") + "sede: 1\n"
    places = [line.split(": ")[0] for line in refused(write(tmp_path, "r.yaml", text))]
    assert places == ["r.yaml:3:3", "r.yaml:3:3", "r.yaml:11:11", "r.yaml:12:12", "r.yaml:13:1"]


def test_null_switches_an_inherited_list_off(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", SMALL + "  callbacks: [TerminateOnNaN]\n")
    path = write(tmp_path, "r.yaml", "extends: base.yaml\nfit: {callbacks: }\ndata: {augment: }\n")
    assert reading.load(path).setting("fit", "callbacks") is None


def test_a_recipe_is_read_from_standard_input_as_often_as_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative paths, such as of what it extends, are those of the working directory."""
    (tmp_path / "base.yaml").write_text("# A base.\nfit: {epochs: 7}\nseed: 4\n")
    monkeypatch.chdir(tmp_path)
    text = b"# From a pipe.\nextends: base.yaml\ndata: {dataset: Digits}\nmodel: [Flatten]\nsede: 1\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    reading._read_standard_input.cache_clear()
    try:
        with pytest.raises(RecipeError, match=r"standard input:5:1: .*sede"):
            reading.load("-")
        (loaded, _) = reading.read("-", ["fit.batch_size=3"])
        assert (loaded.name, loaded.purpose) == ("recipe", "From a pipe.")
        assert loaded.setting("fit") == {"epochs": 7, "batch_size": 3}
    finally:
        reading._read_standard_input.cache_clear()
