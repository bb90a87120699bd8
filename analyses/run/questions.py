"""What the networks of a run are asked: one class an input, a set of labels, or a number."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from harsanyi.analyses.knowledge.answers import of_labels
from harsanyi.analyses.knowledge.restricted import PartAnswers, restricted_answers
from harsanyi.analyses.run.by_class import compared_by_class
from harsanyi.analyses.run.run import Run
from harsanyi.analyses.study.asked import Of, asked_by
from harsanyi.analyses.study.inputs import load_inputs
from harsanyi.data.label_numbers import label_numbers
from harsanyi.data.label_sets import label_sets
from harsanyi.interactions import Interactions

ByClass = Mapping[str, list[Interactions]]


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked, and the interactions in the score of every answer.

    Attributes:
        of: "classes", one an input; "labels", a set of them an input; or "numbers".
        games: the number in the study of each game of `by_class`.
        by_class: by side ("before", …) the interactions in the score of every class; of a set of labels one
            game an input; of a number its one score.
        truth: of these games: the class `(games,)`; which labels are true `(games, labels)`; the number
            `(games,)`.
        choices, chosen: for what weighs the true answer against others: the interactions in the scores of the
            choices of each game of the run, and the number of the true one. The choices are the classes; of a
            label absent and present, whose log-odds are −z and z; none of a number.
    """

    of: Of
    games: tuple[int, ...]
    by_class: ByClass
    truth: Int64[Tensor, " games"] | Bool[Tensor, "games labels"] | Float64[Tensor, " games"]
    choices: ByClass
    chosen: Int64[Tensor, " games"]

    @property
    def answers(self) -> Int64[Tensor, " games"]:
        """The choice of the network after, on each unmasked input."""
        return torch.stack([choice.v[:, -1] for choice in self.choices["after"]]).argmax(0)

    def answers_of_parts(self, run: Run) -> PartAnswers:
        """How right each part of the knowledge alone is in every game; not of numbers.

        Args:
            run: that is asked; its study has the threshold and the seed of random parts.
        """
        return restricted_answers(
            self.by_class["before"],
            self.by_class["after"],
            self.truth,
            scratch=self.by_class.get("scratch"),
            threshold=run.study.threshold,
            seed=run.study.seed,
        )


def question_of(run: Run, compared: Mapping[str, str]) -> Question:
    """What the networks of a run are asked.

    Args:
        run: finished; where classes or labels are scored, it kept the outputs of all.
        compared: which of its networks stand for before, after and scratch.

    Raises:
        ValueError: for outputs that were not kept, and labels of a regression that are no numbers.
    """
    games = tuple(run.store.numbers)
    if (asked := asked_by(run.study.score)) == "numbers":
        names = run.store.settings["labels"]
        truth = torch.from_numpy(label_numbers(names, run.study.level or "of the labels"))
        alone = {side: [run.interactions[name]] for side, name in compared.items()}
        return Question(asked, games, alone, truth, {}, torch.zeros(0, dtype=torch.int64))
    by_class, labels = compared_by_class(run, compared), run.labels
    if asked == "classes":
        return Question(asked, games, by_class, labels, by_class, labels)
    first = np.unique(run.store.settings["inputs"], return_index=True)[1]
    first.sort()
    choices = {side: _present_or_not(of_side, labels) for side, of_side in by_class.items()}
    return Question(
        asked,
        tuple(games[row] for row in first),
        {side: [each.select(first) for each in of_side] for side, of_side in by_class.items()},
        torch.from_numpy(_sets(run)[first]),
        choices,
        torch.ones(len(games), dtype=torch.int64),
    )


def _present_or_not(by_class: list[Interactions], labels: Int64[Tensor, " games"]) -> list[Interactions]:
    """The interactions in the log-odds that each game's label is absent, and that it is present."""
    present = of_labels(by_class, labels)
    return [replace(present, and_=-present.and_, or_=-present.or_, v=-present.v), present]


def _sets(run: Run) -> Bool[np.ndarray, "games labels"]:
    """Which of the labels that all networks answer each game's input has."""
    inputs = load_inputs(run.study, run.study.data)
    matrix, members = label_sets(inputs, run.study.level)
    rows = {name: row for row, name in enumerate(inputs.names)}
    columns = [members.index(label) if label in members else None for label in run.classes]
    games = matrix[[rows[name] for name in run.store.settings["inputs"]]] > 0
    absent = np.zeros(len(games), dtype=bool)
    return np.stack([absent if column is None else games[:, column] for column in columns], axis=1)
