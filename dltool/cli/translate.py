"""dltool translate: a line of translation for every line read, and how good the translations are."""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from dltool.cli import completion
from dltool.cli.options import Device, DeviceOption, Format, OverwriteOption, take_fields
from dltool.errors import DataError, Mistakes, UsageError, messages
from dltool.output import tables

if TYPE_CHECKING:
    from dltool.decoding.line_stream import Line
    from dltool.decoding.sentence_translator import Translation
    from dltool.runs.opened import OpenedRun

STDIN = "standard input"
GROUP = 8  # batches that are read before they are sorted by length


@dataclass(frozen=True)
class Search:
    """The options of the search for translations."""

    beam_size: Annotated[int, typer.Option("--beam-size", min=1, help="Hypotheses kept; 1 is greedy.")] = 5
    length_penalty: Annotated[
        float, typer.Option("--length-penalty", min=0, help="0 prefers short translations, more prefers longer ones.")
    ] = 1.0
    n_best: Annotated[
        int | None,
        typer.Option("--n-best", min=1, help="So many translations of each line, each after the line's number."),
    ] = None
    max_length: Annotated[
        int | None,
        typer.Option("--max-length", min=1, help="Tokens of a translation.", show_default="twice the source's + 10"),
    ] = None
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Lines that are searched together.")] = 128
    replace_unknown: Annotated[
        bool, typer.Option("--replace-unknown", help="Copy unknown pieces from where attention lies.")
    ] = False

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `SentenceTranslator`."""
        given = vars(self)
        return {name: value for name, value in given.items() if name != "n_best"} | {"best": self.n_best or 1}


@dataclass(frozen=True)
class Judgement:
    """The options of the comparison with right translations."""

    reference: Annotated[
        Path | None, typer.Option("--reference", help="Right translations, a line each: BLEU and chrF on stderr.")
    ] = None
    by_length: Annotated[bool, typer.Option("--by-length", help="With --reference: also by length of the source.")] = (
        False
    )
    form: Annotated[
        Format | None,
        typer.Option("--format", help="With --reference: how figures are written.", show_default="table"),
    ] = None


@take_fields()
def translate(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN... [TEXT]",
            help="Run directories, which decode together; then perhaps a text.",
            autocompletion=completion.runs,
        ),
    ],
    to: Annotated[str | None, typer.Option("--to", metavar="LANG", help="The language, of runs of several.")] = None,
    input_: Annotated[
        Path | None, typer.Option("--input", "-i", help="Lines to translate, plain or .gz. Default: standard input.")
    ] = None,
    search: Search = Search(),
    scores: Annotated[bool, typer.Option("--scores", help="Write each translation's score before it.")] = False,
    attention: Annotated[
        Path | None, typer.Option("--attention", metavar="DIR", help="Write each line's alignment: PNG and JSON.")
    ] = None,
    show_attention: Annotated[
        bool, typer.Option("--show-attention", help="Draw each line's alignment on stderr.")
    ] = False,
    judgement: Judgement = Judgement(),
    overwrite: OverwriteOption = False,
    device: DeviceOption = Device.auto,
) -> None:
    """Translate lines: write one line to stdout for each line read, at once.

    With --n-best or --scores columns are divided by tabs: line's number, score, translation.
    """
    from dltool.decoding import alignment_folder, line_stream

    _check_together(search, judgement, attention, overwrite)
    opened, text = split_arguments(runs)
    mistakes, references = Mistakes(), None
    with mistakes:
        if text is not None and input_ is not None:
            raise UsageError(f"--input {input_}: there is a text already ('{text}'). Give one of them.")
    with mistakes:
        if attention is not None:
            alignment_folder.check_free(attention, overwrite)
    with mistakes:
        references = None if judgement.reference is None else _read_references(judgement.reference)
    with mistakes:
        if input_ is not None and text is None and not input_.is_file():
            raise UsageError(f"--input {input_}: there is no such file.")
    mistakes.finish()
    from dltool.runs.translator import Translator

    aligned = attention is not None or show_attention
    translator = Translator(opened, to, device, **search.arguments(), attention=aligned)
    name = str(input_) if input_ is not None else "the text" if text is not None else STDIN
    sources: list[str] = []
    translations: list[str] = []
    with _open(text, input_) as stream:
        for window in line_stream.windows(stream, name, GROUP * search.batch_size):
            found, cut = translator([line.text for line in window])
            for number in sorted({*cut, *(i for i, line in enumerate(window) if line.cut)}):
                messages.say(f"{name}:{window[number].number}: is too long and was cut")
            rows = (_rows(line, best, search, scores) for line, best in zip(window, found, strict=True))
            messages.write_text("".join(rows))
            for line, best in zip(window, found, strict=True):
                if attention is not None:
                    alignment_folder.write_alignment(attention, line.number, best[0])
                if show_attention:
                    _show_attention(best[0])
            if references is not None:
                sources += [line.text for line in window]
                translations += [best[0].text for best in found]
    if references is not None:
        if len(references) != len(translations):
            raise DataError(
                f"{judgement.reference}: has {len(references)} lines, {name} has {len(translations)}. "
                "Give a reference for each line."
            )
        report = judge(opened, sources, translations, references, judgement.by_length)
        messages.tell(tables.render(report, judgement.form or Format.table, stream=sys.stderr))


def _check_together(search: Search, judgement: Judgement, attention: Path | None, overwrite: bool) -> None:
    """Raise for options that need others."""
    mistakes = Mistakes()
    for name, given in {"--by-length": judgement.by_length, "--format": judgement.form is not None}.items():
        with mistakes:
            if given and judgement.reference is None:
                raise UsageError(f"{name} needs --reference")
    with mistakes:
        if overwrite and attention is None:
            raise UsageError("--overwrite needs --attention")
    with mistakes:
        if search.n_best is not None and search.n_best > search.beam_size:
            least = f"needs a --beam-size of as many at least, it is {search.beam_size}"
            raise UsageError(f"--n-best {search.n_best}: {least}")
    mistakes.finish()


def split_arguments(arguments: Sequence[str]) -> tuple[list[OpenedRun], str | None]:
    """Return the runs, and the text after them if there is one: the last argument, unless a path is there.

    An empty one is a text: Path("") would be the working directory.
    """
    from dltool.recipe import reading
    from dltool.runs.opened import OpenedRun

    paths, text = list(arguments), None
    if len(arguments) > 1 and (not arguments[-1] or not reading.holds(Path(arguments[-1]).exists)):
        text = paths.pop()
        if text.endswith("/") or ("/" in text and not any(letter.isspace() for letter in text)):
            raise UsageError(f"{text}: there is no such run. If it is the text, give it on standard input.")
    return [OpenedRun(path) for path in paths], text


def judge(
    runs: Sequence[OpenedRun],
    sources: Sequence[str],
    translations: Sequence[str],
    references: Sequence[str],
    by_length: bool,
) -> dict[str, Any]:
    """Return BLEU and chrF, how they were computed and, if asked for, figures of sentences by length."""
    from dltool.decoding import translation_scores

    named = " + ".join(map(str, runs))
    row = {"run": named, "lines": len(references), **translation_scores.scores(translations, references)}
    signatures = translation_scores.signatures()
    report = {"scores": tables.Rows.of([row])}
    if by_length:
        report["lengths"] = tables.Rows.of(translation_scores.by_length(sources, translations, references))
    report["signatures"] = tables.Rows({"metric": list(signatures), "signature": list(signatures.values())})
    return report


@contextmanager
def _open(text: str | None, path: Path | None) -> Iterator[BinaryIO]:
    """Give the stream of lines: of a text, a file or standard input."""
    if text is not None:
        yield io.BytesIO((text or "\n").encode("utf-8", "surrogateescape"))
    elif path is None:
        yield open(0, "rb", closefd=False)  # noqa: SIM115 - its own buffer: sys.stdin's is locked at exit if a thread reads
    else:
        from dltool.recipe.data import reading

        with reading(), gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield file  # type: ignore[misc]


def _rows(line: Line, translations: Sequence[Translation], search: Search, scores: bool) -> str:
    """Return a line's translations as they are written, a row each."""
    rows = []
    for translation in translations:
        columns = [] if search.n_best is None else [str(line.number)]
        columns += [f"{translation.score:.4f}"] if scores else []
        rows.append("\t".join([*columns, translation.text]) + "\n")
    return "".join(rows)


def _show_attention(translation: Translation) -> None:
    from dltool.decoding.alignment import shaded_alignment

    if translation.attention is not None:
        messages.tell(shaded_alignment(translation.attention, translation.source, translation.target))


def _read_references(path: Path) -> list[str]:
    """Return the lines of a file of translations."""
    from dltool.data.formats import text_decoding
    from dltool.recipe.data import reading

    if not path.is_file():
        raise UsageError(f"--reference {path}: there is no such file.")
    with reading():
        lines = text_decoding.read(path).split("\n")
    return lines[:-1] if not lines[-1] else lines
