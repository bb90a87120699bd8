"""Methods in words, from the records that results and files keep."""

import pytest
import torch

from harsanyi.interactions import And, AndOr, JointSparseAndOr, SparseAndOr, extract
from harsanyi.interactions.effects.method_words import method_in_words

SPARSE = "sparsest AND and OR to 0.1%, noise up to 4% of |v(N) − v(∅)|"


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (And(), "AND interactions alone"),
        (AndOr(), "AND and OR, of one half of each score"),
        (SparseAndOr(), SPARSE),
        (SparseAndOr(noise=0.0, tolerance=0.02), "sparsest AND and OR to 2%, no noise"),
        (SparseAndOr(ranges=1), f"{SPARSE}, with the ranges of 1 effect"),
        (SparseAndOr(max_steps=7, method="sgd", rate=(1e-6, 2e-6)), None),
        (
            JointSparseAndOr(networks=("before", "after, (tuned)")),
            "sparsest AND and OR of all networks together to 0.1%, noise up to 4% of |v(N) − v(∅)|",
        ),
        (JointSparseAndOr(specific=0.3, max_steps=9), None),
    ],
    ids=str,
)
def test_every_method_in_words(method, words):
    said = method_in_words(str(method))
    if words is not None:
        assert said == words
    for setting in ("=", "None", "SparseAndOr", "'"):
        assert setting not in said


def test_unusual_settings_are_said():
    said = method_in_words(str(SparseAndOr(max_steps=7, method="sgd", rate=(1e-6, 2e-6))))
    assert said == f"{SPARSE}, by sgd, at rates (1e-06, 2e-06), at most 7 steps"
    assert method_in_words(str(JointSparseAndOr(specific=0.3))).endswith(", price in further networks 0.3")


@pytest.mark.parametrize(
    "record",
    ["SPEX", "", "Own()", "SparseAndOr()", "SparseAndOr(noise=x, tolerance=0.1)", "((((", "And(And())("],
)
def test_other_records_stay_as_they_are(record):
    assert method_in_words(record) == record


def test_results_say_their_method_in_words():
    found = extract(torch.tensor([[0.0, 1.0, 1.0, 5.0]]), SparseAndOr())
    assert found.method_in_words == SPARSE
    assert f"method {SPARSE}" in repr(found)
    assert "SparseAndOr" not in repr(found) + found._repr_html_()
    assert found.method == str(SparseAndOr())  # files keep every setting
