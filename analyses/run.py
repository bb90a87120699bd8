"""Running a study: value tables → interactions → knowledge change → figures and report, all in one folder."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from analyses.drawings import (
    draw_change_on_image,
    draw_change_on_sentence,
    draw_interactions_on_sentence,
    draw_top_on_image,
)
from analyses.figures import plot_matching, plot_shares, plot_sparsity, plot_strength_by_order
from analyses.games import Asked, ask
from analyses.knowledge import KnowledgeChange, compare
from analyses.report import describe, write_report
from analyses.study import Compare, Compute, Study, read_study
from analyses.tables import write_table
from interactions import Interactions, Store, extract

STORE, STUDY, TABLE, REPORT, FIGURES = "values.h5", "study.toml", "change", "report.html", "figures"
UNITS = {
    "log_odds": "log-odds, nats",
    "log_prob": "log-probability, nats",
    "next_token_log_odds": "log-odds, nats",
}


@dataclass(frozen=True)
class Run:
    """A finished study, as it lies in its folder.

    Attributes:
        study: its settings.
        store: its value tables.
        interactions: by network.
    """

    study: Study
    store: Store
    interactions: dict[str, Interactions]

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """The run in a folder; extraction is done again where its file is missing."""
        if not (folder / STUDY).is_file():
            raise FileNotFoundError(f"{folder} holds no study: there is no {folder / STUDY}")
        study = _study_in(folder)
        store = Store(folder / STORE)
        return cls(study, store, {name: _interactions(folder, study, store, name) for name in store.networks})

    @property
    def unit(self) -> str:
        """The unit of the score, for axes."""
        return UNITS.get(self.study.score, self.study.score)

    def change(self) -> KnowledgeChange:
        """The knowledge change of a comparison; a ValueError for a run of one network."""
        if "before" not in self.interactions:
            raise ValueError("this run has one network; a change needs `harsanyi compare`")
        found = self.interactions
        return compare(
            found["before"], found["after"], scratch=found.get("scratch"), threshold=self.study.threshold
        )

    def title_of(self, game: int) -> str:
        """What a game is called: its input's name and the label that is scored."""
        settings = self.store.settings
        return f"{settings['inputs'][game]} · {settings['labels'][game]}"

    def draw_top(self, network: str, game: int, k: int) -> Figure:
        """The k strongest interactions of a network in one game, on its image or sentence."""
        top = self.interactions[network].top(k)[game]
        title = f"{self.title_of(game)} · {network} · {self.unit}"
        if "sentences" in self.store.settings:
            words, players = self._sentence(game)
            return draw_interactions_on_sentence(words, players, top, title=title)
        image, owner = self._image(game)
        return draw_top_on_image(image, owner, top, title=title)

    def draw_change(self, game: int, k: int) -> Figure:
        """The k strongest preserved, discarded and new interactions of one game."""
        title = f"{self.title_of(game)} · before → after, {self.unit}"
        if "sentences" in self.store.settings:
            words, players = self._sentence(game)
            return draw_change_on_sentence(words, players, self.change(), game, k, title=title)
        image, owner = self._image(game)
        return draw_change_on_image(image, owner, self.change(), game, k, title=title)

    def _image(self, game: int) -> tuple[np.ndarray, np.ndarray]:
        owner = self.store.array("owner")
        return self.store.array("images")[game], owner if owner.ndim == 2 else owner[game]

    def _sentence(self, game: int) -> tuple[list[str], list[int]]:
        pieces = self.store.settings["sentences"][game]
        return [word for word, _ in pieces], [player for _, player in pieces]


def compute(study: Study, *, progress: bool = True) -> tuple[Run, Asked]:
    """Value tables and interactions of every network of a study, kept in its folder."""
    asked = ask(study)
    first = next(iter(asked.games.values()))
    store = Store.open_or_create(
        study.out / STORE,
        settings=asked.settings,
        networks=list(asked.games),
        games=first.games,
        n=first.n,
        arrays=asked.arrays,
    )
    study.write(study.out / STUDY)
    forwards = len(asked.games) * first.games << first.n
    with tqdm(
        total=forwards, unit="forward", unit_scale=True, disable=not progress, desc="value tables"
    ) as bar:
        for name, game in asked.games.items():
            store.fill(name, game, batch_size=study.batch_size, progress=bar)
    found = {}
    for name in tqdm(asked.games, disable=not progress, desc="interactions", unit="network"):
        found[name] = extract(store.v(name), study.extraction())
        found[name].save(study.out / f"interactions-{name}.h5")
    return Run(study, store, found), asked


def run_comparison(study: Compare, *, progress: bool = True) -> list[str]:
    """The whole way of a comparison; returns the summary in words.

    Writes into `study.out`: study.toml, values.h5, interactions-NETWORK.h5, change.csv, change.h5, figures
    and report.html.
    """
    run, asked = compute(study, progress=progress)
    change = run.change()
    table = change.table(seed=study.seed)
    write_table(table, study.out / TABLE)
    figures = _figures(run, change, table)
    (study.out / FIGURES).mkdir(exist_ok=True)
    for number, (caption, figure) in enumerate(figures.items()):
        name = caption.split(":")[0].lower().replace(" ", "-").replace(",", "")
        figure.savefig(study.out / FIGURES / f"{number + 1}-{name}.png", dpi=200)
    summary = describe(change, table)
    write_report(
        study.out / REPORT,
        title=f"{study.model}: what fine-tuning kept, dropped and learned",
        summary=summary,
        facts=_facts(run, change) | asked.facts,
        table=table,
        figures=figures,
        notes=_notes(run),
    )
    return summary


def _study_in(folder: Path) -> Study:
    kinds: tuple[type[Study], ...] = (Compare, Compute)
    for kind in kinds:
        try:
            return kind(**read_study(folder / STUDY, kind))
        except (TypeError, ValueError) as error:
            problem = error
    raise ValueError(f"{folder / STUDY} is no study of this version: {problem}")


def _interactions(folder: Path, study: Study, store: Store, name: str) -> Interactions:
    """A network's interactions from their file, or from its value tables."""
    path = folder / f"interactions-{name}.h5"
    if path.is_file():
        found = Interactions.load(path)
        if torch.equal(found.v, store.v(name)):
            return found
    return extract(store.v(name), study.extraction())


def _figures(run: Run, change: KnowledgeChange, table: pd.DataFrame) -> dict[str, Figure]:
    """The figures of a comparison by caption; what stands before the colon names the file."""
    threshold = run.study.threshold
    return {
        "Strength by order: salient strength before (left) and after (right), mean per input, positive "
        "effects up and negative down": whole(plot_strength_by_order(change, unit=run.unit)),
        "Shares by order: with 95% bootstrap intervals over inputs": whole(plot_shares(table)),
        "Sparsity: interactions sorted by strength": whole(plot_sparsity(run.interactions, threshold)),
        "Matching: the fine-tuned network's output on all masked versions of one input, and the sum of its "
        "salient interactions": whole(plot_matching(change.after, 0, threshold)),
        f"Kept, dropped, learned: {run.title_of(0)}": run.draw_change(0, 3),
        f"Strongest after fine-tuning: {run.title_of(0)}": run.draw_top("after", 0, 7),
    }


def whole(ax: Axes) -> Figure:
    """The figure that a plot's axes are in."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


def _facts(run: Run, change: KnowledgeChange) -> dict[str, str]:
    """What was computed, and how."""
    settings, study = run.store.settings, run.study
    return {
        "networks": "; ".join(f"{name}: {path}" for name, path in study.checkpoints.items()),
        "inputs": f"{change.games} of {study.data}, seed {study.seed}",
        "players": f"{study.players} ({run.store.n} players, {2**run.store.n} masked versions of each input)",
        "masked": f"{study.layer or 'the input'}, with baseline {settings['baseline']}",
        "score": run.unit,
        "method": change.after.method,
        "salient": change.rule,
        **_gaps(run),
    }


def _gaps(run: Run) -> dict[str, str]:
    """The certified gaps of sparse methods, worst and median."""
    gaps = {name: found.gap for name, found in run.interactions.items() if found.gap is not None}
    text = "; ".join(f"{name} {gap.median():.2%} (worst {gap.max():.2%})" for name, gap in gaps.items())
    return {"certified gap to the sparsest split, median": text} if text else {}


def _notes(run: Run) -> list[str]:
    """Limits a reader should know."""
    notes = [
        "Intervals resample the inputs; they say nothing about other training runs of the same networks.",
        "Strengths are compared as they are: a network with larger logits has stronger effects.",
    ]
    tolerance = getattr(run.study.extraction(), "tolerance", None)
    open_games = {
        name: int((found.gap > tolerance).sum())
        for name, found in run.interactions.items()
        if found.gap is not None and tolerance is not None
    }
    if any(open_games.values()):
        listed = ", ".join(f"{count} of {name}" for name, count in open_games.items() if count)
        notes.append(
            f"The sparse split did not reach its tolerance of {tolerance:.1%} for some games: {listed}."
        )
    if any(name.startswith("read-out") for name in run.store.settings):
        notes.append("A read-out shows what a linear layer can use of a frozen backbone.")
    return notes
