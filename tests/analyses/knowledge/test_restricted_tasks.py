"""Restricted prediction of sets of labels and of numbers, against literal loops and scikit-learn."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import r2_score

from harsanyi.analyses.knowledge.answers import chance
from harsanyi.analyses.knowledge.restricted import baselines_of, part_scores, restricted_prediction
from harsanyi.analyses.knowledge.restricted_numbers import restricted_numbers
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.interactions import And, AndOr, Interactions, extract

# Ratios of counts, and of sums of a dozen squares of size ~1.
EXACT = 1e-10
GAMES, LABELS = 12, 3
FAST = Bootstrap(resamples=200)


def networks(labels: int, seeds=(0, 1, 2)) -> list[list[Interactions]]:
    """Before, after and scratch, each in the score of every label."""
    made = []
    for seed in seeds:
        v = torch.randn(labels, GAMES, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        made.append([extract(table, AndOr()) for table in v])
    return made


@pytest.fixture
def sets() -> torch.Tensor:
    return torch.rand(GAMES, LABELS, generator=torch.Generator().manual_seed(9)) > 0.4


def test_sets_are_right_label_by_label(sets):
    before, after, scratch = networks(LABELS)
    table = restricted_prediction(before, after, sets, scratch=scratch, bootstrap=FAST)
    scores = part_scores(before, after, scratch)
    found = table[table.quantity == "accuracy"].set_index(["knowledge", "version"]).value
    for (part, version), of_part in scores.items():
        if part.startswith("random"):
            continue
        right = 0
        for game in range(GAMES):
            for label in range(LABELS):
                right += bool(of_part[game, label] > 0) == bool(sets[game, label])
        assert found[part, version] == pytest.approx(right / (GAMES * LABELS), abs=EXACT)
    whole = [[one.v[game, -1].item() > 0 for one in after] for game in range(GAMES)]
    agreed = np.mean(np.array(whole) == (scores["preserved", "only"].numpy() > 0))
    agreement = table[table.quantity == "agreement"].set_index(["knowledge", "version"]).value
    assert agreement["preserved", "only"] == pytest.approx(agreed, abs=EXACT)
    assert agreement["everything", "only"] == 1
    guess = np.mean([max(share, 1 - share) for share in sets.double().mean(0).tolist()])
    assert found["chance", "only"] == pytest.approx(guess, abs=EXACT)
    assert chance(sets, LABELS).mean().item() == pytest.approx(guess, abs=EXACT)


def test_the_difference_of_sets_is_to_the_strongest_baseline(sets):
    before, after, _ = networks(LABELS)
    table = restricted_prediction(before, after, sets, bootstrap=FAST)
    alone = table[(table.quantity == "accuracy") & (table.version == "only")].set_index("knowledge").value
    for part in ("preserved", "new", "discarded"):
        rows = table[(table.quantity == "accuracy_difference") & (table.knowledge == part)]
        strongest = max(baselines_of(part), key=lambda name: alone[name])
        assert rows.against.tolist() == [strongest]
        assert rows.value.tolist() == pytest.approx([alone[part] - alone[strongest]], abs=EXACT)


def test_a_label_alone_is_a_set_too():
    (before, after, _), truth = networks(1), torch.arange(GAMES)[:, None] % 2 == 0
    table = restricted_prediction(before, after, truth, bootstrap=FAST)
    right = ((after[0].v[:, -1] > 0) == truth[:, 0]).double().mean().item()
    whole = table[(table.knowledge == "everything") & (table.quantity == "accuracy")]
    assert whole.value.tolist() == pytest.approx([right], abs=EXACT)


def test_sets_of_another_form_are_refused(sets):
    before, after, _ = networks(LABELS)
    for wrong in (sets[:, :2], sets.long(), sets[:4]):
        with pytest.raises(ValueError, match=r"expected truth values \(12, 3\), which labels each game has"):
            restricted_prediction(before, after, wrong)


def test_r2_is_that_of_scikit_learn():
    (before,), (after,), (scratch,) = networks(1)
    numbers = torch.randn(GAMES, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    table = restricted_numbers(before, after, numbers, scratch=scratch, bootstrap=FAST)
    scores = part_scores([before], [after], [scratch], seed=FAST.seed)
    found = table[table.quantity == "r2"].set_index(["knowledge", "version"])
    for (part, version), of_part in scores.items():
        draws = of_part[..., 0].reshape(-1, GAMES)
        expected = np.mean([r2_score(numbers, draw) for draw in draws.numpy()])
        row = found.loc[(part, version)]
        assert row.value == pytest.approx(expected, abs=EXACT)
        assert not row.low > row.value > row.high
    assert found.value["chance", "only"] == 0
    assert found.value["everything", "only"] == pytest.approx(
        r2_score(numbers, after.v[:, -1].numpy()), abs=EXACT
    )
    for part in ("preserved", "new", "exclusive", "discarded"):
        (row,) = table[(table.quantity == "r2_difference") & (table.knowledge == part)].itertuples()
        strongest = max(baselines_of(part), key=lambda name: found.value[name, "only"])
        assert row.against == strongest
        expected = found.value[part, "only"] - found.value[strongest, "only"]
        assert row.value == pytest.approx(expected, abs=EXACT)
        assert row.low < row.value < row.high
    assert set(table.columns) == {
        "knowledge",
        "version",
        "quantity",
        "value",
        "low",
        "high",
        "games",
        "against",
    }


def test_numbers_that_say_nothing_are_refused():
    network = extract(torch.tensor([[0.0, 1.0], [0.0, 2.0]]), And())
    for wrong in (torch.ones(2), torch.arange(3.0)):
        with pytest.raises(ValueError, match="expected numbers of 2 games, not all the same"):
            restricted_numbers(network, network, wrong)
    pd.testing.assert_frame_equal(
        *(restricted_numbers(network, network, torch.arange(2.0)) for _ in range(2))
    )
