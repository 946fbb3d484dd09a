"""A plugin of pytest, loaded by `make quick`: only the tests near what changed, the nearest first, within a time.

Changed is what differs from where the branch left main, and what git does not know yet; on main itself, what the last
commit changed. A test file is as near to a changed file as the imports between them are few. What imports do not show
(names in recipes, commands found by scanning) is near by its place: tests mirror the package.
"""

from __future__ import annotations

import ast
import subprocess
import time
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
MAIN = ("main", "origin/main", "HEAD")  # the first that there is
ALWAYS = "tests/test_architecture.py"  # reads every file
BEFORE_SETUP = time.monotonic()
MORE = 4  # files are read that take so many times the time: several workers share them
UNKNOWN_SECONDS = 5.0  # of a test file that was never timed
SECONDS = "dltool/seconds_by_file"  # in pytest's cache


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seconds", type=float, default=90, help="start no test after so many seconds")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Nearest(config), "dltool-nearest")


class Timing:
    """Keeps how long each test file took, for the order in which `make quick` takes files that are equally near."""

    def __init__(self, config: pytest.Config) -> None:
        self.cache, self.took = getattr(config, "cache", None), {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        file = report.nodeid.split("::")[0]
        self.took[file] = self.took.get(file, 0.0) + report.duration

    def pytest_sessionfinish(self) -> None:
        if self.cache is not None:
            kept = self.cache.get(SECONDS, {})
            self.cache.set(
                SECONDS, kept | {file: round(max(seconds, kept.get(file, 0)), 1) for file, seconds in self.took.items()}
            )


class Nearest:
    """Chooses test files before they are read, sorts their tests, and starts none when the time is over."""

    def __init__(self, config: pytest.Config) -> None:
        self.spent, self.left_out = config.getoption("--seconds"), set[str]()
        near = config.workerinput["near"] if hasattr(config, "workerinput") else nearest_files(config)
        self.order = {ROOT / name: number for number, name in enumerate(near)}

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Of xdist: workers take what was found once."""
        node.workerinput["near"] = [path.relative_to(ROOT).as_posix() for path in self.order]

    def pytest_report_header(self) -> str:
        return f"test files near what changed, the nearest first: {len(self.order)}"

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        return True if collection_path.name.startswith("test_") and collection_path not in self.order else None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: self.order.get(item.path, 0))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Skip what comes too late, without setting anything up."""
        if time.monotonic() - BEFORE_SETUP <= self.spent:
            return None
        why = (str(item.path), 0, f"farther than {self.spent:g} s reach")
        report = pytest.TestReport(
            item.nodeid, item.location, item.dict.fromkeys(item.keywords, 1), "skipped", why, "setup"
        )
        item.ihook.pytest_runtest_logreport(report=report)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and "s reach" in str(report.longrepr):
            self.left_out.add(report.nodeid)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.left_out:
            count = len(self.left_out)
            terminalreporter.write_line(f"{count} tests near the changes did not fit into the time: make test runs all")


def nearest_files(config: pytest.Config) -> list[str]:
    """Return the test files near what changed, the nearest first; of those equally near, the quickest."""
    cache = getattr(config, "cache", None)
    took = {} if cache is None else cache.get(SECONDS, {})
    distances = distances_to(sorted(changed_files()), read_sources())
    near = sorted(distances, key=lambda name: (distances[name], took.get(name, UNKNOWN_SECONDS), name))
    at_most = MORE * config.getoption("--seconds")
    ends = accumulate(took.get(name, UNKNOWN_SECONDS) for name in near)
    return [name for name, end in zip(near, ends, strict=True) if end <= at_most or name == near[0]]


def changed_files() -> set[str]:
    """Return the paths below the root of what changed; those that were removed are among them."""
    main = next(name for name in MAIN if _git("rev-parse", "--verify", "--quiet", name))
    base = "".join(_git("merge-base", "HEAD", main)) or "HEAD"
    found = {*_git("diff", "--name-only", base), *_git("ls-files", "--others", "--exclude-standard")}
    return found or {*_git("diff", "--name-only", "HEAD~1")}


def _git(*arguments: str) -> list[str]:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else []


def read_sources() -> dict[str, str]:
    """Return the text of every Python file of the package and its tests, by its path below the root."""
    paths = (path for folder in ("dltool", "tests") for path in sorted((ROOT / folder).rglob("*.py")))
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def distances_to(changed: Iterable[str], sources: dict[str, str]) -> dict[str, int]:
    """Return how many imports lie between each test file and the nearest changed file; files out of reach are left out.

    Args:
        sources: text of every file, by its path below the root.
    """
    readers: dict[str, set[str]] = {}
    for name, text in sources.items():
        for module in imported_modules(text):
            readers.setdefault(module, set()).add(name)
    found: dict[str, int] = {ALWAYS: 0}
    waiting = deque((name, 0) for name in changed)
    seen: set[str] = set()
    while waiting:
        name, distance = waiting.popleft()
        if name in seen:
            continue
        seen.add(name)
        if _is_test(name) and name in sources:
            found.setdefault(name, distance)
        for reader in sorted(readers.get(_module(name), set()) | _mirrors(name, sources)):
            waiting.append((reader, distance + 1))
    return found


def imported_modules(text: str) -> Iterator[str]:
    """Yield what a file imports; `from a import b` as a and as a.b, either of which may be a module."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _mirrors(name: str, sources: dict[str, str]) -> set[str]:
    """Return the test files that belong to a file by its place or, of a recipe or document, that write its name."""
    path = Path(name)
    if path.suffix != ".py":
        word = path.with_suffix("").as_posix().removeprefix("recipes/") if path.suffix == ".yaml" else path.name
        of_recipes = {"tests/test_recipes.py"} if name.startswith("recipes/") else set()
        return of_recipes | {test for test in sources if _is_test(test) and word in sources[test]}
    if path.parts[0] != "dltool":
        return set()
    folder, stem = Path("tests", *path.parts[1:-1]), path.stem.strip("_")
    return {test for test in sources if _is_test(test) and Path(test).parent == folder and stem in Path(test).stem}


def _module(name: str) -> str:
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _is_test(name: str) -> bool:
    return name.startswith("tests/") and Path(name).name.startswith("test_") and name.endswith(".py")
