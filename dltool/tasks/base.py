"""The base class of tasks, and how a task is found by its name or by facts of data."""

from __future__ import annotations

import functools
import importlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from dltool.errors import DataError, UsageError, suggest_or_list

if TYPE_CHECKING:
    import pandas as pd

    from dltool.data.inputs.base import Batch, Reader
    from dltool.tasks._readers import Source

    Answer = Callable[[Any, Sequence[Any]], pd.DataFrame]  # of examples, as a `Reader` gives them, and their places

FOLDER = Path(__file__).parent
AVERAGE = "average"  # in place of a run's path: the mean of several models' outputs
DEFAULT = "classification"  # of facts that no task recognises

# Name -> what gives the class, of tasks that do not stand in this folder: `dltool.recipe.plugins` puts it here.
elsewhere: Callable[[], Mapping[str, Callable[[], type[Task]]]] = dict


class UnknownTaskError(DataError, LookupError):
    """There is no task of a name that data or their facts give."""


@dataclass
class Judgement:
    """How a run does on a split.

    Args:
        run: the run's path, or "average".
        split: the split's name.
        counted: what was measured, such as {"examples": 360} or {"tokens": 12000}.
        figures: loss, compiled metrics and the task's own figures, which --require may name.
        task: what made it.
        tables: name -> rows, such as those of each class.
        outcome: what the task keeps for `Task.average` and `Task.table_of_answers`.
    """

    run: str
    split: str
    counted: dict[str, int]
    figures: dict[str, float]
    task: Task
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    outcome: Any = None


@dataclass(frozen=True)
class Asked:
    """The options of a question about new examples.

    Args:
        top: how many answers an example, the likeliest first.
        every: a probability for each class in place of the likeliest one's.
        to: the language to translate into, where there are several.
        folder: for answers that are pictures; None: none are written.
        overwrite: replace pictures that dltool wrote there.
        explain: add what layers say about how they came to the answers.
        map: the classes at each position of larger pictures.
        written: the files of answers so far, so that two of them never have one name.
    """

    top: int = 1
    every: bool = False
    to: str | None = None
    folder: Path | None = None
    overwrite: bool = False
    explain: bool = False
    map: bool = False
    written: set[str] = field(default_factory=set, compare=False, repr=False)


@dataclass(frozen=True)
class Split:
    """A split of a run's data to be judged on.

    Args:
        data: the data in splits, `dltool.recipe.data.Data`.
        name: the split's.
        batch_size: examples at a time.
        run, shown: what the judgement calls the run and the split.
        trained: facts of the data that the run was trained on.
        judge: a classifier in whose features made images are compared with real ones, None: they are not.
    """

    data: Any
    name: str
    batch_size: int
    run: str
    shown: str
    trained: Mapping[str, Any]
    judge: Any = None

    def pipeline(self) -> Any:
        """Return the split's batches."""
        return self.data.pipeline(self.name, self.batch_size)


@dataclass(frozen=True)
class Judged:
    """A model and the split that it was judged on, where answers are computed only if they are asked for.

    Args:
        model: compiled.
        split: the split.
        table: answers that are there already, None where there are none.
    """

    model: Any
    split: Split
    table: Any = None


@dataclass(frozen=True)
class Question:
    """Models that answer examples together, and how.

    Args:
        models: compiled.
        facts: of the data that they were trained on.
        asked: which answers.
        vocabulary: of these data, None where they have none.
        runs: what messages call the models.
    """

    models: Sequence[Any]
    facts: Mapping[str, Any]
    asked: Asked = field(default_factory=Asked)
    vocabulary: Any = None
    runs: Sequence[str] = ()


class Task(ABC):
    """A kind of problem that data pose.

    A subclass stands in the file of its name, without the underscores of helpers; a dataset names it (`Dataset.task`).
    What this class does by default suits examples that are arrays or columns of a table.
    """

    targets: str  # what the targets are, in a word of messages

    @property
    def name(self) -> str:
        """The task's name, which datasets and facts of data hold: that of its class, as of its file, in lower case."""
        return name_of(type(self).__name__)

    # -- facts of data ---------------------------------------------------------------------------------

    def recognises(self, facts: Mapping[str, Any]) -> bool:
        """Return whether facts that name no task, of a run made before facts did, are of this one."""
        return False

    def facts_of_outline(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return the facts by which a model is built that is only looked at."""
        return dict(facts)

    def arguments(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments of a dataset that other data of a run take from the run's facts."""
        return {}

    def vocabulary(self, files: Mapping[str, bytes], facts: Mapping[str, Any]) -> Any:
        """Return the vocabulary that a run's files hold.

        Raises:
            ValueError, KeyError: the files are damaged, or contradict the facts.
        """
        raise ValueError(f"runs of {self.name} keep no vocabulary")

    has_vocabulary = False

    def counts(self, facts: Mapping[str, Any], splits: Sequence[str]) -> dict[str, dict[str, int]]:
        """Return what a run's results count in addition to examples: a word -> split -> number."""
        return {}

    # -- what fits, checked before training ------------------------------------------------------------

    def problem_of_layers(self) -> str | None:
        """Return why a list of layers is no model for the data, None where it may be one."""
        return None

    def problem_of_architecture(self, model: Any) -> str | None:
        """Return why an architecture is no model for the data, None where it may be one."""
        return "the data are no sentences and translations" if hasattr(model, "encode") else None

    def problem_of_outputs(self, model: Any, facts: Mapping[str, Any]) -> str | None:
        """Return what is wrong with a compiled model's output for the data."""
        return None

    def problems_of_outputs(self, model: Any, facts: Mapping[str, Any]) -> dict[str, str]:
        """Return what is wrong with a compiled model's outputs by their names, "" for its only one."""
        problem = self.problem_of_outputs(model, facts)
        return {} if problem is None else {"": problem}

    def problem_of_augmentation(self, facts: Mapping[str, Any]) -> str | None:
        """Return what the data are where layers can't augment them, else None."""
        return None if facts.get("input_shape") is not None else "columns of a table"

    def problem_of_class_weight(self) -> str | None:
        """Return why classes can't be weighed, None where they can."""
        return None

    def problem_of_loss(self, model: Any, facts: Mapping[str, Any]) -> str | None:
        """Return what is wrong with a compiled model's loss for the data."""
        return None

    # -- training --------------------------------------------------------------------------------------

    def augmentation(self, layers: Sequence[Any], facts: Mapping[str, Any]) -> Any:
        """Return the model that augments training inputs, and with a method `move` their targets too.

        Raises:
            ValueError: a layer does not suit the targets; its attribute `index` says which.
        """
        import keras

        return keras.Sequential([keras.Input(tuple(facts["input_shape"])), *layers], name="augment")

    def weights(self, class_weights: Any, facts: Mapping[str, Any]) -> Any:
        """Return the weight in the loss of each index that targets may have, from those of the classes."""
        return class_weights

    # -- judging ---------------------------------------------------------------------------------------

    compares_images = False  # with the data's, by a judge
    answers_in_one_pass = False  # by `_outputs.outputs_of` alone: the mean of passes with dropout can stand for it

    @abstractmethod
    def judge(self, model: Any, split: Split) -> Judgement:
        """Return how a compiled model does on a split."""

    def average(self, judgements: Sequence[Judgement]) -> Judgement | None:
        """Return how the mean of several models' outputs does, None where outputs are not kept.

        Raises:
            UsageError: the outputs do not go together.
        """
        return None

    def table_of_answers(self, judgements: Sequence[Judgement], asked: Asked) -> pd.DataFrame:
        """Return a row an example of a judged split: where it comes from, target and answer.

        Args:
            judgements: of all runs, which answer together, and last of their mean where there is one.
            asked: which answers.
        Raises:
            UsageError: outputs are not kept, or do not go together.
        """
        raise UsageError(f"--predictions: outputs of {self.name} are not kept. Leave it away.")

    # -- new examples ----------------------------------------------------------------------------------

    def check_asked(self, asked: Asked) -> None:
        """Raise `UsageError` if something is asked that answers of this task do not have."""
        options = {
            "top": "--top",
            "every": "--probabilities",
            "to": "--to",
            "folder": "--out",
            "explain": "--explain",
            "map": "--map",
        }
        for name, option in options.items():
            if name not in self.takes and getattr(asked, name) != getattr(Asked(), name):
                raise UsageError(f"{option}: means nothing for {self.name}. Leave it out.")
        if asked.every and asked.top > 1:
            raise UsageError("--top: --probabilities gives all classes. Leave one of them out.")

    takes: ClassVar[frozenset[str]] = frozenset()  # fields of `Asked` that mean something here

    def reader(self, source: Source) -> Reader:
        """Return the reader of new examples.

        Raises:
            UsageError: they are of no kind that the run answers.
        """
        from dltool.tasks import _readers

        return _readers.reader(source)

    def answerer(self, question: Question) -> Answer:
        """Return a function of some new examples and their places that gives a row of answers for each.

        Raises:
            UsageError: the models do not answer what is asked.
            ValueError: they cannot answer at all.
        """
        raise UsageError(f"runs of {self.name} answer no new examples")

    def answer_batch(self, answer: Answer, batch: Batch, word: str) -> pd.DataFrame:
        """Return the rows of answers to new examples, first of each where its example comes from.

        Args:
            answer: of `answerer`.
            batch: the examples.
            word: what their places are: "file" or "row".
        """
        table = answer(batch.x, batch.places)
        table.insert(0, word, list(batch.places), allow_duplicates=True)
        return table

    def coco_results(self, rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return rows of answers to new examples as COCO's results of detection.

        Args:
            rows: of tables by `answer_batch`.
            facts: of the data that the run was trained on.
        Raises:
            UsageError: answers are no boxes.
        """
        raise UsageError(f"--format coco: means nothing for {self.name}, whose answers are no boxes.")

    def drawn(self, picture: Any, target: Any, facts: Mapping[str, Any]) -> Any:
        """Return an image with its target drawn on it, if that has a place; it may be enlarged.

        Images are uint8 (rows, columns) or (rows, columns, 3).
        """
        return picture

    def words(self, targets: Any, facts: Mapping[str, Any]) -> list[str] | None:
        """Return targets (examples, ...) in words, None where they have none."""
        return None


def names() -> list[str]:
    """Return the names of all tasks: files of this folder, found by scanning it, and those of plugins."""
    return sorted({*_own_names(), *elsewhere()})


def name_of(class_name: str) -> str:
    """Return the name of a task by its class: "depth_estimation" of DepthEstimation."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", class_name).lower()


def _own_names() -> list[str]:
    return [path.stem for path in FOLDER.glob("[!_]*.py") if path.stem != "base"]


@functools.cache
def find(name: str) -> Task:
    """Return the task of a name.

    Raises:
        UnknownTaskError: there is none.
    """
    if name not in _own_names():
        further = elsewhere()
        if name not in further:
            raise UnknownTaskError(f"no task named '{name}'.{suggest_or_list(name, names())}")
        return further[name]()()
    module = importlib.import_module(f"{__package__}.{name}")
    kind = next(one for one in vars(module).values() if isinstance(one, type) and name_of(one.__name__) == name)
    found: Task = kind()
    return found


def of(facts: Mapping[str, Any]) -> Task:
    """Return the task of data with these facts; facts of runs made before they named it are recognised.

    Raises:
        DataError: they name a task that is not there.
    """
    if (name := facts.get("task")) is not None:
        try:
            return find(name)
        except LookupError as error:
            raise DataError(f"{error} The data need it: give the plugin that has it, or a newer dltool.") from error
    return next((task for task in _all() if task.recognises(facts)), find(DEFAULT))


def _all() -> Iterator[Task]:
    return (find(name) for name in names())
