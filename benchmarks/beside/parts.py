"""Seconds of a command by its parts: a thread looks where the command is, some hundred times a second."""

import sys
import threading
import time
from collections import defaultdict
from types import FrameType, TracebackType
from typing import Self

# Between two looks.
SECONDS = 0.005
IMPORTS, OTHER = "imports", "rest"
# A network's first tables are made while its plan is tried, and kept: the command does not make them again.
FIRST_TABLES = "first tables"
ANALYSES, INTERACTIONS = "harsanyi.analyses", "harsanyi.interactions"
# The functions of each part. The innermost function that is listed says where the command is.
PARTS = {
    "reading": [
        f"{ANALYSES}.study.prepare:prepare",
        f"{ANALYSES}.study.inputs:load_inputs",
    ],
    "accuracy": ["harsanyi.models.training.performance:performance"],
    "planning": [
        f"{ANALYSES}.study.games:StudyGames.game",
        f"{INTERACTIONS}.game.tried:trial_of",
        f"{INTERACTIONS}.plans.choice:choose",
    ],
    FIRST_TABLES: [f"{INTERACTIONS}.plans.graph.of_game:_disagreement"],
    "forwards": [f"{INTERACTIONS}.store.tables:tables_of", "benchmarks.beside.scaled:use.<locals>.tables_of"],
    "files": [
        f"{INTERACTIONS}.store.store:Store.open_or_create",
        f"{INTERACTIONS}.store.store:Store._file",
        f"{INTERACTIONS}.store.on_disk:write_rows",
        f"{INTERACTIONS}.store.store:Store.v",
        f"{INTERACTIONS}.effects.interactions:Interactions.save",
        f"{INTERACTIONS}.effects.interactions:Interactions.load",
    ],
    "splits": [f"{INTERACTIONS}.methods:extract_each"],
    "bootstrap": [
        f"{ANALYSES}.statistics.bootstrap:bootstrap_intervals",
        f"{ANALYSES}.statistics.bootstrap:sum_intervals",
    ],
    "tables": [
        f"{ANALYSES}.run.compute:_write_tables",
        f"{ANALYSES}.knowledge.change:compare",
        f"{ANALYSES}.knowledge.change:KnowledgeChange.table",
        f"{ANALYSES}.training.tables:track_tables",
        f"{ANALYSES}.report.tables:write_table",
    ],
    "figures": [
        f"{ANALYSES}.comparison.comparison:comparison_figures",
        f"{ANALYSES}.training.track:track_figures",
    ],
    "report": [
        f"{ANALYSES}.report.page:_png",
        f"{ANALYSES}.report.page:write_figures",
        f"{ANALYSES}.report.page:write_report",
    ],
}
PART_OF = {function: part for part, functions in PARTS.items() for function in functions}
IMPORTING = ("importlib._bootstrap", "_frozen_importlib")


class Parts:
    """Counts the seconds of the calling thread by part, while it is open.

    Looking costs next to nothing and changes nothing in the command, and what is imported late is seen too.
    A look is late where the command holds Python's lock; then it stands for more time.

    Attributes:
        seconds: by part.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._watched = threading.get_ident()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        last = time.perf_counter()
        while not self._ended.wait(SECONDS):
            part, now = part_of(sys._current_frames().get(self._watched)), time.perf_counter()
            self.seconds[part] += now - last
            last = now


def part_of(frame: FrameType | None) -> str:
    """The part of a command that a frame is in.

    Args:
        frame: the innermost one of a thread.
    """
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module in IMPORTING:
            return IMPORTS
        if part := PART_OF.get(f"{module}:{frame.f_code.co_qualname}"):
            return part
        frame = frame.f_back
    return OTHER
