"""Networks trained on known interactions: are they found, dated, and told apart after fine-tuning?

    python docs/studies/ground_truth/study.py

trains six small networks on task A, fine-tunes them to task B, trains six others on B from scratch, and
writes the tables and figures/ beside this file (two to three minutes on one core). README.md reads them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from harsanyi.analyses import (
    Trajectory,
    compare,
    detours,
    mean_interval,
    ratio_interval,
    share_interval,
    time_to_reach,
    trajectory_table,
)
from harsanyi.analyses.drawing.palette import (
    BAND,
    DISCARDED,
    NETWORK_COLOURS,
    NEW,
    PAGE,
    PRESERVED,
    label_axes,
    legend_above,
)
from harsanyi.analyses.knowledge.amounts import total_row
from harsanyi.analyses.knowledge.change import salient_effects
from harsanyi.analyses.training.figures import plot_shares_over_training
from harsanyi.data.patterns import Pattern, PatternTask
from harsanyi.interactions import (
    And,
    AndOr,
    Interactions,
    MaskedModel,
    Method,
    Players,
    SparseAndOr,
    evaluate,
    extract,
)
from harsanyi.models.seeds import seeded

HERE = Path(__file__).parent
COMMON = Pattern("and", (0, 1, 2), 2.0, share=0.30)
RARE = Pattern("and", (3, 4, 5), 2.0, share=0.02)
OR = Pattern("or", (6, 7, 8), 2.0)
XOR = Pattern("xor", (2, 9), 1.0)
ADDED = Pattern("and", (0, 7, 9), 2.0, share=0.30)
NAMES = {"common AND": COMMON, "rare AND": RARE, "OR": OR, "XOR": XOR, "added AND": ADDED}


@dataclass(frozen=True)
class Change:
    """Task A, and task B: A without its pattern `dropped` and with `added`."""

    a: PatternTask
    dropped: Pattern
    added: Pattern

    @property
    def b(self) -> PatternTask:
        return PatternTask(self.a.n, (*(p for p in self.a.patterns if p != self.dropped), self.added))

    def task(self, run: str) -> PatternTask:
        return self.a if run == "pretraining" else self.b


CHANGE = Change(PatternTask(10, (COMMON, RARE, OR, XOR)), dropped=COMMON, added=ADDED)
STEPS = (0, 20, 40, 60, 90, 130, 190, 270, 390, 560, 800, 1200, 1800, 2700, 4000, 6000)
SEEDS = range(6)
METHODS: dict[str, Method] = {
    "AND": And(),
    "even split": AndOr(),
    "sparse, no noise": SparseAndOr(noise=0.0),
    "sparse, 4% noise": SparseAndOr(),
}
COMPARED = ("AND", "sparse, no noise", "sparse, 4% noise")
WIDTH, LEARNING_RATE, BATCH, BATCHES = 64, 1e-2, 256, 1000


def perceptron(n: int, outputs: int = 1, *, seed: int) -> nn.Sequential:
    """Two hidden layers. Tanh, as ReLU's kinks leave small effects of high order all over the table."""
    with seeded(seed):
        layers = [nn.Linear(n, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH), nn.Tanh()]
        return nn.Sequential(*layers, nn.Linear(WIDTH, outputs))


def train(
    network: nn.Module, task: PatternTask, steps: Sequence[int], *, seed: int, score: str = "output"
) -> Tensor:
    """Train in place by Adam, its rate falling to zero; the value tables at the steps, `(steps, 2**n)`.

    The score "output" is trained by squared error; "log_odds" by cross-entropy against sigmoid(target).
    """
    inputs, targets = task.sample(BATCH * BATCHES, seed)
    optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / steps[-1])
    tables = []
    for step in range(steps[-1] + 1):
        if step in steps:
            tables.append(value_table(network, task.n, score))
        batch = slice(start := step % BATCHES * BATCH, start + BATCH)
        loss = _loss(network(inputs[batch]), targets[batch].float(), score)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return torch.stack(tables)


def _loss(outputs: Tensor, targets: Tensor, score: str) -> Tensor:
    if score == "output":
        return F.mse_loss(outputs[:, 0], targets)
    return F.cross_entropy(outputs, torch.stack([-targets, targets], dim=1).sigmoid())


def value_table(network: nn.Module, n: int, score: str = "output") -> Tensor:
    """v of the input with all players present."""
    labels = None if score == "output" else [1]
    players = Players.from_mask(torch.arange(n)[None])
    game = MaskedModel(network, torch.ones(1, n), players, labels=labels, score=score)
    return evaluate(game, progress=False)[0]


def train_all(change: Change, steps: Sequence[int], seeds: Sequence[int]) -> dict[str, Tensor]:
    """Value tables of three runs, `(steps, seeds, 2**n)`: each seed is a network of its own, and one game."""
    tables: dict[str, list[Tensor]] = {"pretraining": [], "fine-tuning": [], "scratch": []}
    for seed in seeds:
        network, other = (perceptron(change.a.n, seed=seed + start) for start in (0, 1000))
        tables["pretraining"].append(train(network, change.a, steps, seed=seed))
        tables["fine-tuning"].append(train(network, change.b, steps, seed=seed + 2000))
        tables["scratch"].append(train(other, change.b, steps, seed=seed + 3000))
    return {run: torch.stack(of_seeds, dim=1) for run, of_seeds in tables.items()}


@cache
def truth(task: PatternTask, method: Method, games: int = 1) -> Interactions:
    """What a method says of the target's own table, the same in every game."""
    return extract(task.game.table().expand(games, -1), method)


def trajectory(run: str, tables: Tensor, steps: Sequence[int], method: Method) -> Trajectory:
    return Trajectory(run, tuple(steps), tuple(extract(v, method) for v in tables))


def found_table(found: Interactions, true: Interactions) -> pd.DataFrame:
    """Salient interactions against the true ones.

    precision = found and true / found, recall = found and true / true, sums over games. Means a game of
    worst_error, the greatest |I − true| of a true one, and worst_spurious, the greatest |I| of any other.
    """
    is_found, is_true = (torch.cat([one.salient().and_, one.salient().or_], 1) for one in (found, true))
    effects, expected = (one.effects.flatten(1) for one in (found, true))
    nobody = (found.orders == 0).repeat(2)
    hits = (is_found & is_true).sum(1, keepdim=True).double().numpy()
    error = (effects - expected).abs().where(is_true, 0).amax(1, keepdim=True).numpy()
    spurious = effects.abs().where(~is_true & ~nobody, 0).amax(1, keepdim=True).numpy()
    rows = {
        "precision": share_interval(hits, is_found.sum(1, keepdim=True).double().numpy()),
        "recall": share_interval(hits, is_true.sum(1, keepdim=True).double().numpy()),
        "worst_error": mean_interval(error),
        "worst_spurious": mean_interval(spurious),
    }
    return pd.DataFrame([{"quantity": q, **vars(row[0]), "games": found.games} for q, row in rows.items()])


def only_pattern(found: Interactions, pattern: Pattern, method: Method) -> Interactions:
    """The effects at the coalitions that a method gives the pattern when it stands alone."""
    return found.only(truth(PatternTask(found.n, (pattern,)), method).salient())


def until_half(run: Trajectory, pattern: Pattern, task: PatternTask, method: Method) -> Trajectory:
    """A run of one pattern's effects, with the truth as its end, a step later: `reached` is of the truth.

    A pattern of which less than half is ever there gets a step above the run's last.
    """
    ends = (*run.interactions, truth(task, method, run.final.games))
    states = tuple(only_pattern(state, pattern, method) for state in ends)
    return Trajectory(run.name, (*run.steps, run.steps[-1] + 1), states)


def seed_steps(run: Trajectory) -> np.ndarray:
    """The step of half, by game, `(games, 1)`."""
    each = [tuple(state.select([game]) for state in run.interactions) for game in range(run.final.games)]
    tables = [time_to_reach(Trajectory(run.name, run.steps, states)) for states in each]
    return np.array([[total_row(table).value] for table in tables])


def dates_table(run: Trajectory, task: PatternTask, method: Method) -> pd.DataFrame:
    """The step at which half of each pattern's true effects is there, in all and by order."""
    tables = []
    for name, pattern in NAMES.items():
        if pattern in task.patterns:
            table = time_to_reach(until_half(run, pattern, task, method))
            tables.append(table[(table.kind == "both") & table.value.notna()].assign(pattern=name))
    columns = ["series", "pattern", "order", "value", "low", "high", "games"]
    return pd.concat(tables, ignore_index=True)[columns]


def later(run: Trajectory, one: Pattern, other: Pattern, task: PatternTask, method: Method) -> pd.DataFrame:
    """How many times as many steps one pattern takes as another, and in what share of seeds it is later."""
    first, second = (seed_steps(until_half(run, pattern, task, method)) for pattern in (other, one))
    found = {"ratio of steps": ratio_interval(second, first), "later": mean_interval((second > first) * 1.0)}
    rows = [{"quantity": name, **vars(one[0]), "games": len(first)} for name, one in found.items()]
    return pd.DataFrame(rows)


def change_table(change: Change, ends: Mapping[str, Tensor], method: Method) -> pd.DataFrame:
    """`compare` of the trained networks, with what it says of the planted tables beside it.

    Two rows are added: dropped_share, of the discarded strength, that at the dropped pattern's coalitions;
    added_share, of the new strength, that at the added one's.
    """
    found = {run: extract(v, method) for run, v in ends.items()}
    true = {run: truth(change.task(run), method, one.games) for run, one in found.items()}
    measured, planted = (_compared(change, networks, method) for networks in (found, true))
    return measured.assign(truth=planted.value.to_numpy())


def _compared(change: Change, networks: Mapping[str, Interactions], method: Method) -> pd.DataFrame:
    """The totals over kinds, signs and orders of one comparison."""
    result = compare(networks["pretraining"], networks["fine-tuning"], scratch=networks["scratch"])
    table = result.table()
    table = table[(table.kind == "both") & (table.sign == "both") & (table.order == "all")]
    rows = []
    sides = (("dropped_share", result.before, change.dropped), ("added_share", result.after, change.added))
    for name, network, pattern in sides:
        rest = salient_effects(network, result.threshold) - result.shared
        part = Interactions(rest[:, 0], rest[:, 1], network.v, "what is not shared")
        at_pattern = only_pattern(part, pattern, method)
        sums = [one.strength("total").sum((1, 2, 3))[:, None].numpy() for one in (at_pattern, part)]
        rows.append({"quantity": name, **vars(share_interval(*sums)[0]), "games": network.games})
    columns = ["quantity", "value", "low", "high", "games"]
    return pd.concat([table, pd.DataFrame(rows)], ignore_index=True)[columns]


def detour_shares(run: Trajectory, task: PatternTask, method: Method) -> pd.DataFrame:
    """The detour share of all effects, and of the true ones alone."""
    salient = truth(task, method).salient()
    true = Trajectory(run.name, run.steps, tuple(state.only(salient) for state in run.interactions))
    rows = [
        {"effects": effects, **total_row(detours(of), quantity="detour_share")}
        for effects, of in (("all", run), ("true", true))
    ]
    return pd.DataFrame(rows)[["series", "effects", "value", "low", "high", "games"]]


def paths_table(run: Trajectory, task: PatternTask, method: Method) -> pd.DataFrame:
    """The mean effect at each pattern's coalitions of an order, by step, with its true value."""
    true, rows = truth(task, method, run.final.games), []
    for name, pattern in NAMES.items():
        if pattern not in task.patterns:
            continue
        alone = truth(PatternTask(task.n, (pattern,)), method).salient()
        for kind, mask in zip(("and", "or"), (alone.and_[0], alone.or_[0]), strict=True):
            for order in true.orders[mask].unique().tolist():
                at = mask & (true.orders == order)
                for step, state in zip((*run.steps, "truth"), (*run.interactions, true), strict=True):
                    effect = getattr(state, f"{kind}_")[:, at].mean(1, keepdim=True).numpy()
                    row = {"pattern": name, "kind": kind, "order": order, "step": step}
                    rows.append(row | vars(mean_interval(effect)[0]))
    return pd.DataFrame(rows).assign(games=run.final.games)


def plot_paths(paths: pd.DataFrame, patterns: Mapping[str, str], ax: Axes) -> None:
    """Effects of patterns (names in the table, with what to call them) by step; dashed, their true values."""
    groups = paths[paths.pattern.isin(list(patterns))].groupby(["pattern", "kind", "order"], sort=False)
    for colour, ((pattern, kind, order), rows) in zip(NETWORK_COLOURS[1:], groups, strict=False):
        label = patterns[pattern].format(kind=kind.upper(), order=order)
        true, rows = rows[rows.step == "truth"].value.iloc[0], rows[rows.step != "truth"]
        steps = rows.step.astype(float)
        ax.plot(steps, rows.value, "o-", color=colour, markersize=2.5, linewidth=1.2, label=label)
        ax.fill_between(steps, rows.low, rows.high, color=colour, alpha=BAND, linewidth=0)
        ax.axhline(true, color=colour, linewidth=0.8, linestyle="dashed")
    ax.plot([], [], color="black", linewidth=0.8, linestyle="dashed", label="truth")
    log_steps(ax)
    legend_above(ax)


def log_steps(ax: Axes) -> None:
    """An axis of steps from 0, logarithmic from the second checkpoint on."""
    ax.set_xscale("symlog", linthresh=STEPS[1])
    ax.set_xlim(0, STEPS[-1] * 1.2)
    ax.set_xticks([0, 100, 1000], ["0", "100", "1000"])
    ax.minorticks_off()


def figure_of_paths(by_method: Mapping[str, pd.DataFrame]) -> Figure:
    """A row for each method, a column for the AND patterns, the OR and the XOR."""
    figure = Figure((PAGE, 2.3 * len(by_method)), layout="constrained")
    grid = figure.subplots(len(by_method), 3, sharey=True, squeeze=False)
    columns = (
        {"common AND": "in 30% of samples", "rare AND": "in 2% of samples"},
        {"OR": "{kind}, order {order}"},
        {"XOR": "{kind}, order {order}"},
    )
    for axes, (method, paths) in zip(grid, by_method.items(), strict=True):
        for ax, patterns, title in zip(axes, columns, ("AND of 3", "OR of 3", "XOR of 2"), strict=True):
            plot_paths(paths, patterns, ax)
            label_axes(ax, f"step of pretraining: {title}", f"effect ({method})" if ax is axes[0] else "")
    return figure


def figure_of_change(course: pd.DataFrame, changes: Mapping[str, pd.DataFrame]) -> Figure:
    """Shares along fine-tuning (AND), and strengths at its end by method; dashes and lines are the truth."""
    figure = Figure((PAGE, 2.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.2))
    plot_shares_over_training(course, "fine-tuning", left)
    colours = {"preserved": PRESERVED, "discarded": DISCARDED, "new": NEW}
    and_only = changes["AND"].set_index("quantity").truth
    for name, colour in colours.items():
        left.axhline(and_only[f"{name}_share"], color=colour, linewidth=0.8, linestyle="dashed")
    left.plot([], [], color="black", linewidth=0.8, linestyle="dashed", label="truth")
    legend_above(left)
    log_steps(left)
    for i, (name, colour) in enumerate(colours.items()):
        rows = pd.concat(table[table.quantity == name] for table in changes.values())
        x = np.arange(len(rows)) + 0.27 * (i - 1)
        right.bar(x, rows.value, 0.25, color=colour, linewidth=0, label=name)
        right.vlines(x, rows.low, rows.high, color="black", linewidth=1)
        right.hlines(rows.truth, x - 0.13, x + 0.13, color="black", linewidth=1.4, label="truth")
    right.set_xticks(range(len(changes)), [name.replace(", ", ",\n") for name in changes])
    label_axes(right, "method", "strength Σ|I|")
    legend_above(right)
    return figure


def write(table: pd.DataFrame, name: str) -> None:
    table.to_csv(HERE / f"{name}.csv", index=False, float_format="%.4g")
    print(f"\n{name}\n{table.to_string(index=False, float_format='{:.3g}'.format)}")


def main() -> None:
    torch.set_num_threads(1)
    tables = train_all(CHANGE, STEPS, SEEDS)
    ends = {run: v[-1] for run, v in tables.items()}
    found = [
        found_table(extract(v, method), truth(CHANGE.task(run), method, len(SEEDS))).assign(
            method=name, series=run
        )
        for name, method in METHODS.items()
        for run, v in ends.items()
    ]
    write(pd.concat(found), "found")
    changes = {name: change_table(CHANGE, ends, METHODS[name]) for name in COMPARED}
    write(pd.concat(table.assign(method=name) for name, table in changes.items()), "change")
    runs = {run: trajectory(run, v, STEPS, And()) for run, v in tables.items()}
    write(pd.concat(dates_table(run, CHANGE.task(name), And()) for name, run in runs.items()), "dates")
    write(
        pd.concat(
            later(runs[name], RARE, frequent, CHANGE.task(name), And()).assign(series=name)
            for name, frequent in (("pretraining", COMMON), ("scratch", ADDED))
        ),
        "rare_after_common",
    )
    write(pd.concat(detour_shares(run, CHANGE.task(name), And()) for name, run in runs.items()), "detours")
    sparse = trajectory("pretraining", tables["pretraining"], STEPS, METHODS["sparse, no noise"])
    shown = {"AND": runs["pretraining"], "sparse, no noise": sparse}
    paths = {name: paths_table(run, CHANGE.a, METHODS[name]) for name, run in shown.items()}
    figure_of_paths(paths).savefig(HERE / "figures" / "effects.png", dpi=200)
    course = trajectory_table([runs["fine-tuning"]], pretrained=runs["pretraining"].final)
    figure_of_change(course, changes).savefig(HERE / "figures" / "change.png", dpi=200)


if __name__ == "__main__":
    main()
