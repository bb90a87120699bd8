"""From portion to portion: shares against literal loops, and the whole way by one command."""

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from harsanyi import data, models
from harsanyi.analyses import Run, Trajectory, portions_table, read_table
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.statistics.bootstrap import Bootstrap, ratio_difference_interval
from harsanyi.analyses.training.portions import accuracies_by_portion
from harsanyi.analyses.training.tables import trajectories_of
from harsanyi.interactions import AndOr, extract

STARTS = ("warm", "scratch")
CLAIM = "portion_preserved_share:warm - portion_preserved_share:scratch > 0.05"


def shares_by_hand(states, threshold: float) -> tuple[np.ndarray, ...]:
    """Preserved, before, new and after from each state to the next, summed over effects, `(pairs, games)`."""
    rows = []
    for before, after in pairwise(states):
        sums = np.zeros((4, before.games))
        for game in range(before.games):
            one, other = (
                [float(x) for x in torch.cat([each.and_[game, 1:], each.or_[game, 1:]])]
                for each in (before, after)
            )
            least = [threshold * max(map(abs, effects)) for effects in (one, other)]
            for i, j in zip(one, other, strict=True):
                i, j = (i if abs(i) > least[0] else 0.0), (j if abs(j) > least[1] else 0.0)
                shared = min(abs(i), abs(j)) if i * j > 0 else 0.0
                sums[:, game] += shared, abs(i), abs(j) - shared, abs(j)
        rows.append(sums)
    return tuple(np.stack(rows, axis=1))


@pytest.fixture(scope="module")
def states():
    generator = torch.Generator().manual_seed(4)
    tables = torch.randn(4, 5, 8, generator=generator, dtype=torch.float64).cumsum(0)
    return [extract(table, AndOr()) for table in tables]


def test_shares_from_portion_to_portion_are_those_of_literal_loops(states):
    table = portions_table(Trajectory("warm", (1, 2, 3, 7), tuple(states)), threshold=0.2)
    preserved, before, new, after = shares_by_hand(states, 0.2)
    expected = {"preserved_share": (preserved, before), "new_share": (new, after)}
    expected["discarded_share"] = before - preserved, before
    rows = table[(table.kind == "both") & (table.order == "all")]
    assert list(dict.fromkeys(table.portion)) == ["2", "3", "7", "all"]
    for quantity, (part, whole) in expected.items():
        one = rows[rows.quantity == quantity].set_index("portion").value
        for portion, k in (("2", 0), ("3", 1), ("7", 2)):
            # Sums of a few dozen float64 in another order.
            assert one[portion] == pytest.approx(part[k].sum() / whole[k].sum(), rel=1e-12)
        assert one["all"] == pytest.approx(part.sum() / whole.sum(), rel=1e-12)
    assert (rows.games == 5).all()


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A small network on three portions of clothes, warm and from scratch; a portion has a folder."""
    folder = tmp_path_factory.mktemp("portions")
    train, test = (
        data.load(data.fashion_mnist_path(part)).sample(90, 0, "coarse") for part in ("train", "test")
    )
    classes = train.classes["coarse"]
    samples, held_out = (models.Samples(part.items, part.level("coarse")[0]) for part in (train, test))
    network = models.load("small:cnn", "random", classes=classes, seed=0)
    for start in STARTS:
        models.train_portions(
            network,
            models.split_portions(samples, 3),
            models.Recipe(epochs=2),
            folder=folder / start,
            start=start,
            held_out=held_out,
            progress=False,
        )
    return folder


def tracking(runs: Path, out: Path, *more: str) -> list[str]:
    return [
        *("track", "--model=small:cnn", "--portions", "--method=and", "--quiet"),
        *("--series", *(f"{start}={runs / start}" for start in STARTS)),
        f"--data={data.fashion_mnist_path('test')}",
        *("--level=coarse", "--inputs=4", "--players=grid:2x2", f"--out={out}", *more),
    ]


@pytest.fixture(scope="module")
def out(runs, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("track") / "run"
    main(tracking(runs, folder, "--claims", CLAIM))
    return folder


def test_the_last_checkpoint_of_each_portion_is_tracked(runs, out):
    run = Run.open(out)
    assert list(run.interactions) == [f"{start}@{k}" for start in STARTS for k in (1, 2, 3)]
    assert run.study.checkpoints["warm@2"] == str(runs / "warm/portion-02/epoch-002.safetensors")


def test_table_and_report_of_portions(out):
    run = Run.open(out)
    tables = [portions_table(one, bootstrap=Bootstrap(seed=0)) for one in trajectories_of(run)]
    pd.testing.assert_frame_equal(read_table(out / "portions.h5"), pd.concat(tables, ignore_index=True))
    along = read_table(out / "trajectories.h5")
    right = along[(along.series == "warm") & (along.step == 3) & (along.quantity == "accuracy held out")]
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "From portion to portion, warm preserves " in report
    assert f"After the last portion, {right.value.iloc[0]:.0%}"[:30] in accuracies_by_portion(along)[0]
    assert {path.stem for path in (out / "figures").glob("from-portion*.svg")} or "portion of warm" in report


def test_a_claim_about_portions_is_told_by_paired_inputs(out):
    run = Run.open(out)
    (claim,) = read_table(out / "claims.h5").to_dict("records")
    sums = []
    for start in STARTS:
        preserved, before, _, _ = shares_by_hand([run.interactions[f"{start}@{k}"] for k in (1, 2, 3)], 0.05)
        sums.append((preserved.sum(0)[:, None], before.sum(0)[:, None]))
    (found,) = ratio_difference_interval(*sums, bootstrap=Bootstrap(seed=0))
    # The same resamples of the same sums, which were added up in another order.
    assert [claim[name] for name in ("value", "low", "high")] == pytest.approx(
        [found.value, found.low, found.high], rel=1e-9
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ["--at-most=2"],
            "warm has 3 portions, and --at-most is 2: what is kept from each portion to the next",
        ),
        (
            ["--claims", "portion_preserved_share:cold > 0"],
            "names 'portion_preserved_share:cold', which is no",
        ),
    ],
)
def test_mistakes_are_sentences(runs, tmp_path, capsys, more, message):
    with pytest.raises(SystemExit) as stop:
        main(tracking(runs, tmp_path / "run", *more))
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_folder_of_one_portion_is_refused(runs, tmp_path, capsys):
    for start in STARTS:
        shutil.copytree(runs / start / "portion-01", tmp_path / start)
    with pytest.raises(SystemExit):
        main(tracking(tmp_path, tmp_path / "run"))
    assert "has the numbered folders none: expected two portions or more" in capsys.readouterr().err
