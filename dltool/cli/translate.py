"""dltool translate: a line of translation for every line read, and how good the translations are."""

from __future__ import annotations

import gzip
import io
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from dltool.decoding import line_stream
from dltool.decoding.line_stream import Line
from dltool.errors import DataError, Mistakes, UsageError, messages, one_line
from dltool.output import tables
from dltool.output.files import announce, atomic
from dltool.output.ownership import is_output, listed, marked
from dltool.recipe import reading as recipe
from dltool.recipe.data import reading
from dltool.runs import directory as runs
from dltool.runs import opened, resume
from dltool.runs.directory import RunDirectory
from dltool.runs.opened import OpenedRun

if TYPE_CHECKING:
    from dltool.data.vocabularies import Vocabularies
    from dltool.decoding.sentence_translator import SentenceTranslator, Translation

ALIGNMENT = re.compile(r"\d{6,}\.(?:json|png)")  # files of --attention
STDIN = "standard input"
GROUP = 8  # batches that are read before they are sorted by length


@dataclass(frozen=True)
class Search:
    """How translations are searched for; see `SentenceTranslator`."""

    beam_size: int
    length_penalty: float
    best: int
    max_length: int | None
    batch_size: int
    replace_unknown: bool


@dataclass(frozen=True)
class Output:
    """What is told beside the translations.

    Args:
        scores: write each translation's score before it.
        several: write the line's number before each translation, of which there are several.
        attention: folder of a picture and a JSON file a line, or None.
        show_attention: draw attention in the terminal.
        overwrite: replace what is in the folder.
    """

    scores: bool
    several: bool
    attention: Path | None
    show_attention: bool
    overwrite: bool


@dataclass(frozen=True)
class Judgement:
    """What translations are compared with.

    Args:
        reference: a file of as many lines.
        by_length: also by length of the source.
        form: "table", "csv" or "json".
    """

    reference: Path
    by_length: bool
    form: str


def run(
    arguments: Sequence[str],
    *,
    to: str | None,
    input_: Path | None,
    search: Search,
    output: Output,
    judgement: Judgement | None,
    device: str,
    write: Callable[[str], None],
    say: Callable[[str], None],
) -> None:
    """Translate lines as they come.

    Args:
        arguments: run directories, which decode as an ensemble, then perhaps a text.
        write: takes translations; they are flushed group by group.
        say: takes warnings, attention and figures.
    Raises:
        UsageError: options do not fit each other or the runs.
        DataError: a run can't be read or translates nothing; the text is no UTF-8; too few or many references.
    """
    directories, text = divided(arguments)
    mistakes, references = Mistakes(), None
    with mistakes:
        if text is not None and input_ is not None:
            raise UsageError(f"--input {input_}: there is a text already ('{text}'). Give one of them.")
    with mistakes:
        if search.best > search.beam_size:
            least = f"needs a --beam-size of as many at least, it is {search.beam_size}"
            raise UsageError(f"--n-best {search.best}: {least}")
    with mistakes:
        if output.attention is not None:
            _check_folder(output.attention, output.overwrite)
    with mistakes:
        references = None if judgement is None else _references(judgement.reference)
    with mistakes:
        if input_ is not None and text is None and not input_.is_file():
            raise UsageError(f"--input {input_}: there is no such file.")
    mistakes.finish()
    vocabularies, language, longest = _spoken(directories, to)
    translator = _translator(directories, vocabularies, longest, search, output, device)
    name = str(input_) if input_ is not None else "the text" if text is not None else STDIN
    sources: list[str] = []
    translations: list[str] = []
    with _opened(text, input_) as stream:
        for window in line_stream.windows(stream, name, GROUP * search.batch_size):
            found, cut = translator([line.text for line in window], language)
            for number in sorted({*cut, *(i for i, line in enumerate(window) if line.cut)}):
                say(f"{messages.PREFIX}{name}:{window[number].number}: is too long and was cut\n")
            write("".join(_lines(line, best, output) for line, best in zip(window, found, strict=True)))
            for line, best in zip(window, found, strict=True):
                _tell_attention(line, best[0], output, say)
            if judgement is not None:
                sources += [line.text for line in window]
                translations += [best[0].text for best in found]
    if judgement is not None and references is not None:
        if len(references) != len(translations):
            raise DataError(
                f"{judgement.reference}: has {len(references)} lines, {name} has {len(translations)}. "
                "Give a reference for each line."
            )
        report = judged(directories, sources, translations, references, judgement)
        say(tables.render(report, judgement.form, stream=sys.stderr))


def divided(arguments: Sequence[str]) -> tuple[list[RunDirectory], str | None]:
    """Run directories, and the text after them if there is one: the last argument, unless a path is there.

    An empty one is a text: Path("") would be the working directory.
    """
    runs_, text = [RunDirectory(Path(one)) for one in arguments], None
    if len(arguments) > 1 and (not arguments[-1] or not recipe.holds(Path(arguments[-1]).exists)):
        text = arguments[-1]
        runs_.pop()
        if text.endswith("/") or ("/" in text and not any(letter.isspace() for letter in text)):
            raise UsageError(f"{text}: there is no such run. If it is the text, give it on standard input.")
    for one in runs_:
        one.check_is_run()
    return runs_, text


def judged(
    directories: Sequence[RunDirectory],
    sources: Sequence[str],
    translations: Sequence[str],
    references: Sequence[str],
    judgement: Judgement,
) -> dict[str, Any]:
    """BLEU and chrF, how they were computed and, if asked for, of sentences by length."""
    from dltool.decoding import translation_scores

    named = " + ".join(map(str, directories))
    row = {"run": named, "lines": len(references), **translation_scores.scores(translations, references)}
    signatures = translation_scores.signatures()
    report = {"scores": tables.Rows.of([row])}
    if judgement.by_length:
        report["lengths"] = tables.Rows.of(translation_scores.by_length(sources, translations, references))
    report["signatures"] = tables.Rows({"metric": list(signatures), "signature": list(signatures.values())})
    return report


def _spoken(directories: Sequence[RunDirectory], to: str | None) -> tuple[Vocabularies, str | None, int]:
    """What the runs read and write: vocabularies, the language that a sentence has to name, tokens at most."""
    from dltool.data.vocabularies import Vocabularies

    kept, spoken, longest = [], [], []  # a run each: vocabularies, direction -> target language, tokens
    for directory in directories:
        vocabulary = resume.own_vocabulary(directory)
        if not isinstance(vocabulary, Vocabularies):
            known = "ParallelText and NumberWords are such data"
            raise DataError(f"{directory}: was not trained to translate ({known})")
        kept.append(vocabulary)
        with directory.reading(runs.DATA):
            one = directory.read_json(runs.DATA)
            named = [*one["directions"], *one["zero_shot"]]
            spoken.append({direction: direction.split("-")[1] for direction in named})
            longest.append(int(one["max_length"]))
    first, *others = (set(one) for one in spoken)
    for directory, vocabulary, directions in zip(directories[1:], kept[1:], others, strict=True):
        if vocabulary.files() != kept[0].files() or directions != first:
            raise UsageError(
                f"{directory}: has another vocabulary or other directions than {directories[0]}. "
                "Only runs of the same data decode together."
            )
    targets = list(dict.fromkeys(spoken[0].values()))
    if to is not None and to not in targets:
        raise UsageError(f"--to {to}: the run translates into {', '.join(targets)}")
    if to is None and len(targets) > 1:
        raise UsageError(f"--to: the run translates into {', '.join(targets)}. Say which.")
    return kept[0], to if len(targets) > 1 else None, min(longest)


def _translator(
    directories: Sequence[RunDirectory],
    vocabularies: Vocabularies,
    longest: int,
    search: Search,
    output: Output,
    device: str,
) -> SentenceTranslator:
    runs_ = [OpenedRun(directory.path) for directory in directories]
    opened.configure(runs_, device)
    models = [one.model for one in runs_]
    from dltool.decoding.ensemble import Ensemble
    from dltool.decoding.sentence_translator import SentenceTranslator

    try:
        return SentenceTranslator(
            models[0] if len(models) == 1 else Ensemble(models),
            vocabularies,
            longest_source=longest,
            beam_size=search.beam_size,
            length_penalty=search.length_penalty,
            best=search.best,
            max_length=search.max_length,
            batch_size=search.batch_size,
            replace_unknown=search.replace_unknown,
            attention=output.attention is not None or output.show_attention,
        )
    except ValueError as error:
        raise UsageError(f"{directories[0]}: {one_line(error)}") from error


@contextmanager
def _opened(text: str | None, path: Path | None) -> Iterator[BinaryIO]:
    if text is not None:
        yield io.BytesIO((text or "\n").encode("utf-8", "surrogateescape"))
    elif path is None:
        yield open(0, "rb", closefd=False)  # noqa: SIM115 - its own buffer: sys.stdin's is locked at exit if a thread reads
    else:
        with reading(), gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield file  # type: ignore[misc]


def _lines(line: Line, found: Sequence[Translation], output: Output) -> str:
    rows = []
    for one in found:
        columns = [str(line.number)] if output.several else []
        columns += [f"{one.score:.4f}"] if output.scores else []
        rows.append("\t".join([*columns, one.text]) + "\n")
    return "".join(rows)


def _tell_attention(line: Line, best: Translation, output: Output, say: Callable[[str], None]) -> None:
    if best.attention is None:
        return
    from dltool.decoding.alignment import plot_alignment, shaded_alignment

    if output.attention is not None:
        stem = output.attention / f"{line.number:06d}"
        told = {"line": line.number, "source": best.source, "target": best.target}
        told |= {"attention": [[round(float(weight), 6) for weight in row] for row in best.attention]}
        with atomic(stem.with_suffix(".json")) as file:
            file.write((json.dumps(told, ensure_ascii=False) + "\n").encode())
        drawn = io.BytesIO()
        with atomic(stem.with_suffix(".png")) as file:
            plot_alignment(best.attention, best.source, best.target, drawn)
            file.write(marked(drawn.getvalue(), ".png"))
    if output.show_attention:
        say(shaded_alignment(best.attention, best.source, best.target))


def _references(path: Path) -> list[str]:
    from dltool.data.formats import text_decoding

    if not path.is_file():
        raise UsageError(f"--reference {path}: there is no such file.")
    with reading():
        lines = text_decoding.read(path).split("\n")
    return lines[:-1] if not lines[-1] else lines


def _check_folder(path: Path, overwrite: bool) -> None:
    if path.exists() and not path.is_dir():
        raise UsageError(f"--attention {path}: is no folder.")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise UsageError(f"--attention {path}: is not empty. Use --overwrite to replace what is there.")
    named = sorted(one for one in path.iterdir() if ALIGNMENT.fullmatch(one.name)) if path.is_dir() else []
    if taken := [one.name for one in named if not _is_alignment(one)]:
        raise UsageError(f"--attention {path}: holds files that dltool did not write: {listed(taken)}. Move them.")
    announce([one.name for one in named], path)


def _is_alignment(path: Path) -> bool:
    """Return whether a file is a line's alignment, or the picture of one, that dltool wrote."""
    if path.is_symlink() or not path.is_file():
        return False
    if path.suffix == ".png" and is_output(path):
        return True
    try:
        held = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    told = isinstance(held, dict) and held.keys() == {"line", "source", "target", "attention"}
    return told and (path.suffix == ".json" or path.read_bytes().startswith(b"\x89PNG"))
