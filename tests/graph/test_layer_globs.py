"""Layers by glob, by one rule, and units by number and range."""

from __future__ import annotations

import pytest

from dltool.graph.calls import Call
from dltool.graph.layer_globs import check_globs, choose_layers, choose_units, matches


@pytest.mark.parametrize(
    ("glob", "matched"),
    [
        ("conv", ["conv", "encoder/conv", "encoder/block/conv"]),  # its name
        ("encoder/conv", ["encoder/conv"]),  # its path
        ("encoder", ["encoder/conv", "encoder/block/conv"]),  # the model that holds it
        ("block", ["encoder/block/conv"]),
        ("encoder/block", ["encoder/block/conv"]),
        ("*/conv", ["encoder/conv", "encoder/block/conv"]),
        ("c?nv", ["conv", "encoder/conv", "encoder/block/conv"]),
        ("conv/block", []),
        ("dense", ["dense (2)"]),  # its second call
        ("*", ["conv", "encoder/conv", "encoder/block/conv", "dense (2)"]),
    ],
)
def test_a_glob_matches_names_paths_and_what_holds_a_layer(glob: str, matched: list[str]) -> None:
    paths = ["conv", "encoder/conv", "encoder/block/conv", "dense (2)"]
    assert [path for path in paths if matches(path, [glob])] == matched


def test_without_globs_nothing_is_matched() -> None:
    assert not matches("conv", [])


def test_a_glob_that_matches_nothing_names_what_is_near_and_all_layers() -> None:
    check_globs(["conv*", "last"], ["conv_first", "last"])
    with pytest.raises(ValueError, match=r"no layer matches 'konv_first'. Did you mean 'conv_first'\? Layers: conv_"):
        check_globs(["konv_first"], ["conv_first", "last"])
    with pytest.raises(ValueError, match=r"no layer with weights matches 'x'. Layers: conv_first, last."):
        check_globs(["last", "x"], ["conv_first", "last"], "layer with weights")
    with pytest.raises(ValueError, match="Layers: none."):
        check_globs(["x"], [])


def call(path: str) -> Call:
    return Call(path, None, (), (), (), True)


def test_layers_are_chosen_by_glob_in_the_model_s_order() -> None:
    found = [call(path) for path in ("conv2d", "encoder/conv2d_1", "dense")]
    assert [one.path for one in choose_layers(found, ["dense", "conv*"])] == ["conv2d", "encoder/conv2d_1", "dense"]
    assert [one.path for one in choose_layers(found, ["encoder/*"])] == ["encoder/conv2d_1"]
    with pytest.raises(ValueError, match=r"no layer matches 'conv3'. Did you mean 'conv2d'\? Layers: conv2d, enc"):
        choose_layers(found, ["conv3", "dense"])


@pytest.mark.parametrize(
    ("text", "chosen"),
    [("3", [3]), ("0:3", [0, 1, 2]), ("4:99", [4, 5]), (":2,5,1", [0, 1, 5]), ("4:", [4, 5]), (":", list(range(6)))],
)
def test_units_are_chosen_by_number_and_range(text: str, chosen: list[int]) -> None:
    assert choose_units(text, "conv2d", 6) == chosen


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("6", "'6': layer conv2d has no such unit; it has 0 to 5"),
        ("0,7:9", "'7:9': layer conv2d has no such"),
        ("a", "write numbers and ranges"),
        ("3:2", "no such unit"),
        ("", "write numbers and ranges"),
        ("-1", "write numbers and ranges"),
    ],
)
def test_units_that_are_not_there_are_said(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        choose_units(text, "conv2d", 6)
