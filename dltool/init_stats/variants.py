"""The models that init-stats measures side by side: a recipe's own, or its variations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dltool.errors import UsageError
from dltool.recipe import build, variations
from dltool.runs import opened
from dltool.runs.preparation import Preparation, prepare


def variants(
    source: str, overrides: Sequence[str], device: str, asked: Mapping[str, list[str]]
) -> Iterator[tuple[str, Preparation]]:
    """Yield the models to measure, by name, each ready for its first step.

    A model is built after the previous one is done.

    Args:
        asked: arguments of `variations.of`.
    Raises:
        UsageError: the source is a run, which has weights of its own.
    """
    is_run = opened.is_run(source)
    if asked and is_run:
        raise UsageError(f"{source}: is a run; its variants would not have its weights. Give a recipe.")
    first = prepare(source, overrides, device=device)
    if not asked:
        yield (source if is_run else first.recipe.name), first
        return
    checked = variations.of(first.recipe, **asked)
    for _, one in checked:
        build.check(one)
    for name, one in checked:
        yield name, Preparation(one, first.data, first.seed)
