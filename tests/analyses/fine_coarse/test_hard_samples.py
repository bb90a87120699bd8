"""Hard samples: who chose them, who judges them, and that chance alone favours neither kind of training."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from harsanyi import data
from harsanyi.analyses.drawing.palette import figure_of
from harsanyi.analyses.fine_coarse.hard_figures import plot_hard_samples
from harsanyi.analyses.fine_coarse.hard_samples import (
    hard_cells,
    hard_deltas,
    hardest_samples,
    judged,
    right_margins,
)
from harsanyi.analyses.fine_coarse.own_data import fine_levels
from harsanyi.analyses.fine_coarse.own_study import run_fine_coarse
from harsanyi.analyses.fine_coarse.settings import FineCoarse
from harsanyi.analyses.report.tables import read_table
from harsanyi.models import StackRecipe
from tests.legible import faults

EXACT = 1e-12


def value_of(table: pd.DataFrame, **chosen: object) -> float:
    for column, value in chosen.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.value.item()


def test_margins_by_hand():
    """Four outputs of two coarse classes: log of summed probabilities, right less the other."""
    logits = torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    group, target = torch.tensor([0, 1, 1, 2]), torch.tensor([0, 1, 2] * 3)
    found = right_margins(logits, group, target)
    for row, label, margin in zip(logits.softmax(1).tolist(), target.tolist(), found.tolist(), strict=True):
        p = [row[0], row[1] + row[2], row[3]]
        expected = np.log(p[label]) - np.log(max(q for k, q in enumerate(p) if k != label))
        assert margin == pytest.approx(expected, abs=EXACT)


def test_literal_judgement():
    """Seed by seed and sample by sample."""
    rng, share = np.random.default_rng(0), 0.2
    margins = {name: rng.normal(0.5, 1, (4, 30)) for name in ("fine", "coarse", "coarse, equal parameters")}
    table = judged(margins, share)

    def hard(by: str, s: int) -> list[int]:
        order = sorted(range(30), key=lambda i: margins[by][s, i])
        return [i for i in order[:6] if margins[by][s, i] < 0]

    for training in margins:
        for t in range(4):
            expected = {}
            for by in ("coarse", "fine"):
                others = [
                    np.mean([margins[training][t, i] > 0 for i in hard(by, s)]) for s in range(4) if s != t
                ]
                expected[by] = np.mean(others)
            expected["either"] = (expected["coarse"] + expected["fine"]) / 2
            expected["same seed"] = np.mean([margins[training][t, i] > 0 for i in hard("coarse", t)])
            expected["all"] = np.mean(margins[training][t] > 0)
            own = table[(table.training == training) & (table.network == t)].set_index("chosen").accuracy
            assert own.to_dict() == pytest.approx(expected, abs=EXACT)
    same = table[(table.training == "coarse") & (table.chosen == "same seed")]
    assert (same.accuracy == 0).all()  # what a network errs on, it errs on


def test_chance_alone_favours_fine_training_in_its_own_seed_only():
    """Margins of pure chance, alike for both: the same seed gains 50 points, other seeds and "either" none.

    800 samples, 12 seeds: the mean over 12 · 11 pairs of 80 samples has a standard error below 0.5 points."""
    rng = np.random.default_rng(1)
    margins = {name: rng.normal(0, 1, (12, 800)) for name in ("fine", "coarse")}
    table = judged(margins, 0.1)
    wide = table.pivot(index=["chosen", "network"], columns="training", values="accuracy")
    gain = (wide.fine - wide.coarse).groupby("chosen").mean()
    assert gain["same seed"] == pytest.approx(0.5, abs=0.04)  # 960 samples
    for by in ("coarse", "fine", "either"):
        assert gain[by] == pytest.approx(0.0, abs=0.02)


def test_what_one_kind_finds_hard_the_other_finds_easier_and_either_favours_neither():
    """Difficulty that all networks of a kind share, of equal size in both kinds, and no gain of either."""
    rng = np.random.default_rng(2)
    margins = {name: rng.normal(0.3, 1, 2000) + rng.normal(0, 1, (8, 2000)) for name in ("fine", "coarse")}
    wide = judged(margins, 0.1).pivot(index=["chosen", "network"], columns="training", values="accuracy")
    gain = (wide.fine - wide.coarse).groupby("chosen").mean()
    assert gain["coarse"] > 0.1
    assert gain["fine"] < -0.1
    assert gain["either"] == pytest.approx(0, abs=0.05)  # of 200 samples with difficulties of their own


def test_hardest_are_wrong_ones():
    margins = np.array([[-1.0, -3.0, 2.0, -2.0], [1.0, 2.0, 3.0, 4.0]])
    assert hardest_samples(margins, 0.5).tolist() == [[False, True, False, True], [False] * 4]
    table = judged({"coarse": margins, "fine": -margins}, 0.5)
    # The second coarse network errs nowhere: the first has nobody's hard samples to judge.
    judge = table[(table.chosen == "coarse") & (table.training == "fine")].accuracy.tolist()
    assert np.isnan(judge[0])
    assert judge[1] == 0.0
    with pytest.raises(ValueError, match="expected two or more"):
        judged({"coarse": margins[:1], "fine": margins[:1]}, 0.5)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> FineCoarse:
    return FineCoarse(
        data=data.fashion_mnist_path("train"),
        test_data=data.fashion_mnist_path("test"),
        target="coarse",
        out=tmp_path_factory.mktemp("hard") / "out",
        pixels=7,
        widths=(4,),
        sizes=(100,),
        seeds=(0, 1, 2),
        betas=(0.5,),
        steps=60,
        hardest=0.1,
        claims=("hard_delta:fine:either - hard_delta:fine:all > 0", "hard_delta:fine:same_seed > 0"),
    )


def test_a_study_has_hard_samples(study):
    sentences = run_fine_coarse(study, progress=False)
    assert any("on hard samples, chosen by either kind of network" in sentence for sentence in sentences)
    cells, table, claims = (read_table(study.out / f"{name}.h5") for name in ("hard_cells", "hard", "claims"))
    wide = cells.pivot(index=["chosen", "seed"], columns="training", values="accuracy")
    gain = wide.fine - wide.coarse
    for by in ("coarse", "fine", "either", "all", "same seed"):
        assert value_of(table, chosen=by, quantity="delta") == pytest.approx(gain[by].mean(), abs=EXACT)
        over = (wide.fine - wide["coarse, equal parameters"])[by].mean()
        assert value_of(table, chosen=by, quantity="delta_equal_parameters") == pytest.approx(over, abs=EXACT)
    assert claims.value[0] == pytest.approx((gain["either"] - gain["all"]).mean(), abs=EXACT)
    assert claims.verdict[1] == "holds"
    page = (study.out / "report.html").read_text(encoding="utf-8")
    assert "Coarse answers right on hard samples" in page
    levels = fine_levels(study)
    recipe = StackRecipe(4, (0.01, 0.001), 0.9, 16, 60, 100, 8)
    again = hard_cells(levels, 100, recipe, (0, 1, 2), 0.1, study.out / "cells")
    pd.testing.assert_frame_equal(again, cells, check_dtype=False)  # read, not trained again
    ax = plot_hard_samples(hard_deltas(again))
    assert len(ax.get_yticklabels()) == 5
    assert faults({"hard samples": figure_of(ax)}) == []


def test_bad_settings(study, tmp_path):
    fresh = replace(study, out=tmp_path / "out", claims=())
    with pytest.raises(ValueError, match="--hardest is 1.5: expected a share from 0 to 1"):
        run_fine_coarse(replace(fresh, hardest=1.5))
    with pytest.raises(ValueError, match="--hardest is 0.1 with one seed: expected two or more"):
        run_fine_coarse(replace(fresh, seeds=(0,)))
    with pytest.raises(ValueError, match="names 'hard_delta:fine:all', which is no quantity"):
        run_fine_coarse(replace(fresh, hardest=0.0, claims=("hard_delta:fine:all > 0",)))
    assert not fresh.out.exists()
