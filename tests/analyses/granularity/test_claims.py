"""Claims of a granularity study: levels by name, pairs by seed, verdicts by rule."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from harsanyi.analyses.granularity.claims import (
    claimed_errors,
    claimed_knowledge,
    errors_of,
    require_claimed_levels,
)
from harsanyi.analyses.granularity.runs import TransferRun
from harsanyi.analyses.granularity.settings import Granularity
from harsanyi.analyses.report.claims import claims_in_words, describe_claims
from harsanyi.analyses.statistics.claims import CLAIMS, claims_table

# A mean of three float64 numbers.
EXACT = 1e-12


@pytest.fixture
def runs() -> pd.DataFrame:
    levels = [("baseline", 4, 0.0, 60, 0.3), ("columns", 10, 0.0, 60, 0.2), ("columns", 10, 0.5, 60, 0.4)]
    levels += [("columns", 10, 0.0, 20, 0.5)]
    columns = ["kind", "classes", "misalignment", "size", "error"]
    rows = [dict(zip(columns, level, strict=True)) | {"seed": seed} for level in levels for seed in (0, 1, 2)]
    table = pd.DataFrame(rows)
    return table.assign(error=table.error + np.random.default_rng(0).normal(0, 0.01, len(table)))


def test_levels_by_name(runs):
    for name, error in (
        ("baseline", 0.3),
        ("columns-10", 0.2),
        ("columns-10*0.5", 0.4),
        ("columns-10/20", 0.5),
    ):
        assert errors_of(runs, name).mean() == pytest.approx(error, abs=0.03)
    with pytest.raises(ValueError, match="'random-8' is no level of this study: it has baseline, columns-10"):
        errors_of(runs, "random-8")
    with pytest.raises(ValueError, match="'columns' is no level: expected KIND-CLASSES"):
        errors_of(runs, "columns")


def test_differences_are_paired_and_told_by_their_t_interval(runs):
    claims = ["columns-10 - baseline < 0", "columns-10 - baseline < -0.1", "columns-10 - baseline > 0"]
    table = claims_table(claimed_errors(runs.sample(frac=1, random_state=0)), claims)
    less = errors_of(runs, "columns-10") - errors_of(runs, "baseline")
    literal = stats.ttest_1samp(less, 0.0)
    assert table.value.tolist() == pytest.approx([less.mean()] * 3, abs=EXACT)
    assert (table.low[0], table.high[0]) == pytest.approx(tuple(literal.confidence_interval()), abs=1e-9)
    assert table.p.tolist()[0] == pytest.approx(literal.pvalue, rel=1e-9)
    assert table.p.tolist()[1] == pytest.approx(stats.ttest_1samp(less, -0.1).pvalue, rel=1e-9)
    assert table.verdict.tolist() == ["holds", "cannot be told", "fails"]
    (words,) = claims_in_words({CLAIMS: table}).values()
    assert words.verdict.tolist() == table.verdict.tolist()
    assert describe_claims({CLAIMS: table})[0].startswith("That columns-10 - baseline < 0 holds: −")


def study(**options) -> Granularity:
    files = {name: Path(f"{name}.parquet") for name in ("data", "test_data")}
    return Granularity(model="small:cnn", out=Path("out"), **files, target="coarse", **options)


def test_levels_that_are_not_planned_are_refused_before_training():
    planned = [TransferRun("baseline", "", 4, 60, 0), TransferRun("columns", "fine", 10, 60, 0)]
    require_claimed_levels(["columns-10 - baseline < 0"], planned, study())
    with pytest.raises(ValueError, match="'columns-11', which is no quantity of this study: it has baseline"):
        require_claimed_levels(["columns-11 - baseline < 0"], planned, study())


def test_knowledge_is_claimed_where_there_are_interactions():
    planned = [TransferRun("baseline", "", 4, 60, 0), TransferRun("columns", "fine", 10, 60, 0)]
    claim = ["rare_before:columns-10 < 0.5"]
    with pytest.raises(ValueError, match="'rare_before:columns-10', which is no quantity"):
        require_claimed_levels(claim, planned, study())
    require_claimed_levels([*claim, "new:columns-10:4 > 1"], planned, study(inputs=4, players="grid:2x2"))
    for refused in ("new:columns-10:5 > 1", "new:baseline > 1", "new_accuracy:columns-10 > 0"):
        with pytest.raises(ValueError, match=f"{refused.partition(' ')[0]}', which is no quantity"):
            require_claimed_levels([refused], planned, study(inputs=4, players="grid:2x2"))
    restricted = study(inputs=4, players="grid:2x2", restricted=True)
    require_claimed_levels(["new_accuracy:columns-10 - nothing_accuracy:columns-10 > 0"], planned, restricted)


def test_knowledge_is_paired_by_seed_and_alone_has_the_interval_of_its_table():
    draw = np.random.default_rng(0)
    rows = [
        {"kind": "columns", "classes": classes, "misalignment": 0.0, "size": size, "seed": seed}
        | {"quantity": "rare_before", "order": order, "value": draw.uniform()}
        for classes in (4, 10)
        for size in (20, 60)
        for seed in (0, 1, 2)
        for order in ("all", "1")
    ]
    ladder = pd.DataFrame(rows)
    summary = ladder[ladder.seed == 0].drop(columns="seed").assign(value=0.5, low=0.2, high=0.7)
    found = claimed_knowledge(ladder.sample(frac=1, random_state=0), summary)
    claims = ["rare_before:columns-10 - rare_before:columns-4 > 0", "rare_before:columns-10/20:1 > 0.1"]
    first, alone = claims_table(found, claims).to_dict("records")
    chosen = ladder[(ladder["size"] == 60) & (ladder.order == "all")]
    wide = chosen.pivot(index="seed", columns="classes", values="value")
    literal = stats.ttest_1samp(wide[10] - wide[4], 0.0)
    assert first["value"] == pytest.approx((wide[10] - wide[4]).mean(), abs=EXACT)
    assert (first["low"], first["high"]) == pytest.approx(tuple(literal.confidence_interval()), abs=1e-9)
    assert first["p"] == pytest.approx(literal.pvalue, rel=1e-9)
    assert (alone["value"], alone["low"], alone["high"], alone["verdict"]) == (0.5, 0.2, 0.7, "holds")


def test_of_several_sizes_of_pretraining_the_largest_is_meant():
    row = {"kind": "random", "classes": 8, "misalignment": 0.0, "size": 60, "seed": 0}
    runs = pd.DataFrame([row | {"pretrain_size": size, "error": 1 / size} for size in (10, 20)])
    assert errors_of(runs, "random-8").tolist() == [0.05]


def test_each_size_of_pretraining_can_be_claimed():
    row = {"kind": "random", "classes": 8, "misalignment": 0.5}
    sizes = [(pretrained, size) for pretrained in (10, 20) for size in (60, 90)]
    rows = [
        row
        | {"pretrain_size": pretrained, "size": size, "seed": seed, "error": pretrained + size + seed / 10}
        for pretrained, size in sizes
        for seed in (0, 1, 2)
    ]
    runs = pd.DataFrame(rows).sample(frac=1, random_state=0)
    assert errors_of(runs, "random-8@10*0.5/60").sort_index().tolist() == [70.0, 70.1, 70.2]
    found = claimed_errors(runs)
    values = {
        "random-8*0.5": 110.1,
        "random-8*0.5/60": 80.1,
        "random-8@10*0.5": 100.1,
        "random-8@10*0.5/60": 70.1,
    }
    values |= {"random-8@20*0.5": 110.1, "random-8@20*0.5/90": 110.1}
    for name, value in values.items():
        assert found[name].interval().value == pytest.approx(value, abs=EXACT)
    with pytest.raises(ValueError, match="'random-8@30\\*0.5' is no level"):
        errors_of(runs, "random-8@30*0.5")
    ladder = runs.rename(columns={"error": "value"}).assign(quantity="new_share", order="all")
    known = claimed_knowledge(ladder, ladder[ladder.seed == 0].assign(low=0.0, high=200.0))
    assert {f"new_share:{name}" for name in values} <= set(known)
    (less,) = claims_table(known, ["new_share:random-8@20*0.5 - new_share:random-8@10*0.5 > 9"]).value
    assert less == pytest.approx(10.0, abs=EXACT)


def test_each_size_of_pretraining_is_planned():
    planned = [TransferRun("columns", "fine", 10, 60, 0, pretrain_size=size) for size in (90, 300)]
    require_claimed_levels(["columns-10@300 - columns-10@90/60 < 0"], planned, study())
    with pytest.raises(ValueError, match="'columns-10@60', which is no quantity"):
        require_claimed_levels(["columns-10@60 < 0.5"], planned, study())
