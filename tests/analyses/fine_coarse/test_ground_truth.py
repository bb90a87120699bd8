"""Networks trained on planted interactions: the analyses find them, date them and tell what changed.

The functions are those of docs/studies/ground_truth/study.py, on seven players, two seeds and fewer steps.
"""

import pytest
import torch

from docs.studies.ground_truth import study
from harsanyi.analyses import compare
from harsanyi.data.patterns import Pattern, PatternTask
from harsanyi.interactions import And, Interactions, SparseAndOr, extract
from tests import reference

COMMON, RARE = Pattern("and", (0, 1, 2), 2.0, share=0.3), Pattern("and", (3, 4, 5), 2.0, share=0.02)
OR, XOR = Pattern("or", (4, 5, 6), 2.0), Pattern("xor", (2, 6), 1.0)
ADDED = Pattern("and", (0, 1, 6), 2.0, share=0.3)
CHANGE = study.Change(PatternTask(7, (COMMON, RARE, OR, XOR)), dropped=COMMON, added=ADDED)
STEPS = (0, 50, 100, 200, 400, 800, 1500)
SEEDS = range(2)
SPARSE = SparseAndOr(noise=0.0)
# The weakest planted effect is 1. A planted effect must be met to a quarter of that, several times what these
# runs leave; and what was not planted stay below a half of it, nearer to nothing than to a planted effect.
CLOSE = 0.25
FAINT = 0.5
# The planted effects by hand: (−1)^{|S|+1} w for the parts of an OR, w and −2w for those of an XOR.
KEPT = {
    (3, 4, 5): 2.0,
    **{(i,): 2.0 for i in (4, 5)},
    **dict.fromkeys([(4, 5), (4, 6), (5, 6)], -2.0),
    (4, 5, 6): 2.0,
    (2,): 1.0,
    (6,): 3.0,
    (2, 6): -2.0,
}
PLANTED = {"pretraining": {**KEPT, (0, 1, 2): 2.0}, "fine-tuning": {**KEPT, (0, 1, 6): 2.0}}
PLANTED["scratch"] = PLANTED["fine-tuning"]


@pytest.fixture(scope="module")
def tables():
    return study.train_all(CHANGE, STEPS, SEEDS)


@pytest.mark.parametrize("run", ["pretraining", "fine-tuning"])
def test_truth_is_what_was_planted(run):
    true = study.truth(CHANGE.task(run), And())
    expected = torch.zeros(2**7, dtype=torch.float64)
    for players, effect in PLANTED[run].items():
        expected[reference.index(players, 7)] = effect
    torch.testing.assert_close(true.and_[0], expected, rtol=0, atol=1e-12)


def test_sparsest_split_of_the_truth():
    """An OR is one OR; an XOR of two is their OR less their AND, at half the strength of its dividends."""
    strongest = study.truth(CHANGE.a, SPARSE).top(6)[0]
    found = {(one.kind, one.players): one.effect for one in strongest[:5]}
    expected = {
        ("and", (0, 1, 2)): 2.0,
        ("and", (3, 4, 5)): 2.0,
        ("or", (4, 5, 6)): 2.0,
        ("or", (2, 6)): 1.0,
        ("and", (2, 6)): -1.0,
    }
    # The split is certified to 1e-3 of a strength of 8.
    assert found == pytest.approx(expected, abs=0.01)
    assert abs(strongest[5].effect) < 0.01


@pytest.mark.parametrize("run", ["pretraining", "fine-tuning", "scratch"])
def test_planted_interactions_are_the_strongest_found(tables, run):
    planted = PLANTED[run]
    for game in extract(tables[run][-1], And()).top(len(planted) + 1):
        found = {one.players: one.effect for one in game[:-1]}
        assert found == pytest.approx(planted, abs=CLOSE)
        assert abs(game[-1].effect) < FAINT


def test_sparse_split_finds_the_or_as_one(tables):
    for game in extract(tables["pretraining"][-1], SPARSE).top(6):
        found = {(one.kind, one.players): one.effect for one in game[:5]}
        assert found["or", (4, 5, 6)] == pytest.approx(2.0, abs=CLOSE)
        assert found["or", (2, 6)] == pytest.approx(1.0, abs=CLOSE)
        assert found["and", (2, 6)] == pytest.approx(-1.0, abs=CLOSE)
        assert abs(game[5].effect) < FAINT


def test_common_comes_before_rare(tables):
    run = study.trajectory("pretraining", tables["pretraining"], STEPS, And())
    rare, common = (
        study.seed_steps(study.until_half(run, pattern, CHANGE.a, And())) for pattern in (RARE, COMMON)
    )
    assert (common < rare).all()
    assert (rare < STEPS[-1]).all()


def test_fine_tuning_drops_one_and_adds_one(tables):
    before, after = (extract(tables[run][-1], And()) for run in ("pretraining", "fine-tuning"))
    change = compare(before, after, threshold=0.1)  # above what these short runs leave of errors
    dropped, added = (reference.index(pattern.players, 7) for pattern in (COMMON, ADDED))
    assert (change.shared[:, 0, dropped].abs() < CLOSE).all()
    assert (change.shared[:, 0, added].abs() < CLOSE).all()
    kept = sum(map(abs, KEPT.values()))
    for game in range(len(SEEDS)):
        # Ten effects that are kept, each of them close; the dropped and the added one, and what errors of
        # the ten add to them.
        assert change.preserved[game].sum().item() == pytest.approx(kept, abs=10 * CLOSE)
        assert change.discarded[game].sum().item() == pytest.approx(2, abs=2 * CLOSE)
        assert change.new[game].sum().item() == pytest.approx(2, abs=2 * CLOSE)


def test_change_of_the_planted_tables_themselves():
    """Networks without error: all that is discarded is the dropped pattern, all that is new the added one."""
    ends = {
        run: CHANGE.task(run).game.table().expand(2, -1) for run in ("pretraining", "fine-tuning", "scratch")
    }
    table = study.change_table(CHANGE, ends, And()).set_index("quantity")
    expected = {"preserved": 20.0, "discarded": 2.0, "new": 2.0, "only_scratch": 0.0, "exclusive": 0.0}
    expected |= {"dropped_share": 1.0, "added_share": 1.0, "scratch_share": 1.0}
    assert table.value[list(expected)].to_dict() == pytest.approx(expected, abs=1e-9)
    assert table.truth.to_numpy() == pytest.approx(table.value.to_numpy(), abs=1e-9)


def test_found_by_hand():
    """Of two true effects one is found; beside it one that is not there."""
    true = effects_of([0.0, 2.0, 1.0, 0.0])
    found = effects_of([9.0, 1.5, 0.01, -0.5])
    table = study.found_table(found, true).set_index("quantity").value
    assert table.to_dict() == {
        "precision": 0.5,
        "recall": 0.5,
        "worst_error": pytest.approx(0.99),
        "worst_spurious": 0.5,
    }


def effects_of(effects: list[float]) -> Interactions:
    and_ = torch.tensor([effects], dtype=torch.float64).repeat(3, 1)
    v = torch.stack([reference.reconstruct(one, torch.zeros_like(one)) for one in and_])
    return Interactions(and_, torch.zeros_like(and_), v, "given")


def test_half_of_the_truth():
    """Effects in proportion to the step are half there at half the way; what is never half there is late."""
    task, steps = PatternTask(3, (Pattern("or", (0, 2), 2.0),)), (0, 10, 40, 100)
    table = task.game.table()
    for share, expected in ((1.0, 50.0), (0.5, 100.0), (0.25, 100 + 1 / 3)):
        tables = torch.stack([table[None] * share * step / 100 for step in steps])
        run = study.trajectory("run", tables, steps, And())
        found = study.seed_steps(study.until_half(run, task.patterns[0], task, And()))
        assert found.item() == pytest.approx(expected)


def test_log_odds_of_a_classifier():
    task = PatternTask(4, (Pattern("and", (0, 1), 2.0), Pattern("or", (2, 3), -1.0)))
    network = study.perceptron(4, outputs=2, seed=0)
    v = study.train(network, task, (0, 400), seed=0, score="log_odds")
    dividends = extract(v, And()).and_
    # Against an untrained network that is off by the effects themselves.
    assert (dividends[1] - task.game.dividends()).abs().max() < 0.1
    assert (dividends[0] - task.game.dividends()).abs().max() > 0.9
