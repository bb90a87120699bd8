"""Choices by knowledge and what they change, against rules and arithmetic by hand."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from harsanyi.analyses import advice_table, compare
from harsanyi.analyses.advice.candidates import Candidate, Training, evidence_of, frozen_stages
from harsanyi.analyses.advice.choices import (
    BY_LOSS,
    COSTS,
    END,
    FREE,
    FREEZE,
    GAINS,
    OPEN,
    RATES,
    SAME,
    SAVES,
    SETTLED,
    STOP,
    Choice,
    choices_of,
    groups_of,
)
from harsanyi.analyses.advice.report import NOTHING, describe_advice
from harsanyi.analyses.statistics.paired_rates import paired_rate_difference
from harsanyi.interactions import AndOr, extract
from harsanyi.models import Recipe, Samples, load, train

NAN = float("nan")


def candidate(series: str, step: int, right=0.5, *, settled=NAN, loss=1.0, share=NAN, evidence=NAN, n=400):
    """A checkpoint that answers the first inputs of `n` right, as many as the share `right`."""
    return Candidate(series, step, settled, share, evidence, loss, np.arange(n) < right * n)


def training(frozen=(), rate=0.1, rest="") -> Training:
    return Training(tuple(frozen), rate, f"{rate}{rest}", f"{frozen}{rest}")


def chosen(choices) -> list[tuple[str, str, str, str, str]]:
    return [(one.question, one.measure, one.chosen.name, one.against, one.other.name) for one in choices]


def test_where_to_stop():
    similar, losses = (NAN, 0.5, 0.79, 0.8, 0.9), (3.0, 2.0, 1.0, 1.5, 1.0)
    run = [
        candidate("a", 10 * step, settled=alike, loss=loss)
        for step, (alike, loss) in enumerate(zip(similar, losses, strict=True))
    ]
    found = choices_of({"a": run}, {"a": training()}, 0.8)
    assert chosen(found) == [(STOP, SETTLED, "a@30", BY_LOSS, "a@20"), (STOP, SETTLED, "a@30", END, "a@40")]
    never = choices_of({"a": run}, {"a": training()}, 0.95)
    assert [one.chosen.name for one in never] == ["a@40", "a@40"]
    assert choices_of({"a": run[:2]}, {"a": training()}, 0.8) == []


def test_what_to_freeze_and_at_which_rate():
    ends = {
        "free": candidate("free", 9, loss=1.0, share=0.2, evidence=3.0),
        "stem": candidate("stem", 9, loss=0.9, share=0.3, evidence=4.0),
        "body": candidate("body", 9, loss=2.0, share=0.4, evidence=-1.0),
        "fast": candidate("fast", 9, loss=0.8, share=0.1, evidence=2.0),
    }
    trainings = {
        "free": training(),
        "stem": training(["stem"]),
        "body": training(["stem", "layer1"]),
        "fast": training(rate=0.5),
    }
    assert groups_of(trainings) == {FREEZE: [("free", "stem", "body")], RATES: [("free", "fast")]}
    found = choices_of({name: [end] for name, end in ends.items()}, trainings, 0.8)
    assert chosen(found) == [
        (FREEZE, "preserved_share", "body@9", BY_LOSS, "stem@9"),
        (FREEZE, "preserved_share", "body@9", FREE, "free@9"),
        (FREEZE, "evidence", "stem@9", BY_LOSS, "stem@9"),
        (FREEZE, "evidence", "stem@9", FREE, "free@9"),
        (RATES, "preserved_share", "free@9", BY_LOSS, "fast@9"),
        (RATES, "evidence", "free@9", BY_LOSS, "fast@9"),
    ]


def test_series_that_differ_in_more_or_in_nothing_are_no_group():
    alike = {"a": training(), "b": training(), "c": training(["stem"], rest="another seed")}
    assert groups_of(alike) == {FREEZE: [], RATES: []}
    unknown = {"a": training(rate=None), "b": training(["stem"], rate=None)}
    assert groups_of(unknown) == {FREEZE: [("a", "b")], RATES: []}


def test_without_a_pretrained_network_nothing_says_what_to_freeze():
    candidates = {name: [candidate(name, 9)] for name in ("free", "stem")}
    assert choices_of(candidates, {"free": training(), "stem": training(["stem"])}, 0.8) == []


def test_differences_are_paired_and_accuracies_wilsons():
    one, other = candidate("a", 5, 0.5), candidate("a", 20, 0.45)
    (row,) = advice_table([Choice(STOP, ("a",), SETTLED, one, END, other)], 0.01).to_dict("records")
    wilson = binomtest(200, 400).proportion_ci(0.95, method="wilson")
    # Closed forms of the same numbers in float64.
    assert (row["value"], row["low"], row["high"]) == pytest.approx((0.5, wilson.low, wilson.high), rel=1e-12)
    assert row["difference"] == pytest.approx(0.05, abs=1e-15)
    paired = paired_rate_difference(one.right, other.right)
    assert (row["difference_low"], row["difference_high"], row["p"]) == (paired.low, paired.high, paired.p)
    assert (row["saved"], row["advice"], row["games"]) == (0.75, GAINS, 400)


@pytest.mark.parametrize(
    ("right", "other", "steps", "advice"),
    [
        (0.6, 0.5, (5, 10), GAINS),
        (0.5, 0.6, (5, 10), COSTS),
        (0.5, 0.5025, (5, 10), SAVES),  # one answer of 400 is lost
        (0.5, 0.5025, (10, 5), OPEN),
        (0.5, 0.5, (10, 10), SAME),
    ],
)
def test_what_a_choice_is_worth(right, other, steps, advice):
    one, two = (candidate("a", step, share) for step, share in zip(steps, (right, other), strict=True))
    table = advice_table([Choice(STOP, ("a",), SETTLED, one, END, two)], 0.02)
    assert table.advice.tolist() == [advice]
    said = describe_advice(table)
    assert (said[0] == NOTHING) == (advice not in (GAINS, SAVES))
    assert "What to freeze: cannot be asked, no series differ in what is frozen alone" in said[2]


def test_what_freezes_saves_no_steps():
    one, two = candidate("a", 5, 0.5), candidate("b", 10, 0.5025)
    table = advice_table([Choice(FREEZE, ("a", "b"), "evidence", one, FREE, two)], 0.02)
    assert (table.advice.tolist(), table.saved.tolist()) == ([OPEN], [0])


def test_answers_that_are_all_alike_save_steps():
    one, two = candidate("a", 5, 0.5), candidate("a", 10, 0.5)
    (row,) = advice_table([Choice(STOP, ("a",), SETTLED, one, END, two)], 0.01).to_dict("records")
    assert (row["difference"], row["advice"]) == (0.0, SAVES)
    # Half an input in each of four cases: s = 1 / 402.
    assert (row["difference_low"], row["difference_high"]) == pytest.approx(
        (-1.96 / 402, 1.96 / 402), rel=1e-4
    )


def test_evidence_is_the_sum_of_what_is_preserved_with_its_sign():
    generator = torch.Generator().manual_seed(2)
    before, after = (
        extract(torch.randn(6, 8, generator=generator, dtype=torch.float64), AndOr()) for _ in range(2)
    )
    total = 0.0
    for game in range(6):
        sides = [
            [float(x) for x in torch.cat([side.and_[game, 1:], side.or_[game, 1:]])]
            for side in (before, after)
        ]
        least = [0.05 * max(map(abs, effects)) for effects in sides]
        for i, j in zip(*sides, strict=True):
            if abs(i) > least[0] and abs(j) > least[1] and i * j > 0:
                total += math.copysign(min(abs(i), abs(j)), i)
    # Sums of a hundred float64 in another order.
    assert evidence_of(compare(before, after)) == pytest.approx(total / 6, rel=1e-12)


def test_frozen_stages_are_read_off_the_weights(tmp_path):
    rng = np.random.default_rng(0)
    from PIL import Image

    images = [Image.fromarray(rng.integers(0, 256, (28, 28), dtype=np.uint8)) for _ in range(8)]
    network = load("small:resnet20", "random", classes=["dark", "light"])
    samples = Samples(images, [0, 1] * 4)
    for frozen in ((), ("stem", "layer2")):
        folder = tmp_path / "-".join(("run", *frozen))
        recipe = Recipe(epochs=1, batch_size=4, frozen=frozen)
        paths = train(network, samples, recipe, folder=folder, held_out=samples, progress=False)
        ends = [load("small:resnet20", path) for path in (paths[0], paths[-1])]
        assert frozen_stages(*ends) == frozen
