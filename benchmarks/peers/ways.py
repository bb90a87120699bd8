"""How each package is asked the question of `benchmarks.peers`, and what it gives.

- harsanyi gives every interaction, and the Shapley values with them. "first input" has all that is done once
  for a network and its players (trace, regions, indices), and is measured once, at the start; "further
  input" is each input after that. Its masked inputs are those it answers for, not forwards.
- shapiq gives every interaction by ExactComputer("Moebius") on a function of coalitions: a plain one (batches
  of 32, no gradients) and a tuned one (channels-last, inference mode, the fastest batch of 4, 8 and 16). Its
  own transform, 3ⁿ steps of Python, is in the time.
- shap's Exact makes 2ⁿ forwards. Its Partition, which divides pixels and not players, may make 2ⁿ; its values
  are summed over the pixels of a player.
- captum's ShapleyValueSampling gets as many whole permutations as fit 2ⁿ forwards. It is asked about the
  players as n numbers. With its feature mask of pixels, it goes through every pixel in Python once a
  permutation, and is timed up to 8 players. FeatureAblation is n + 1 forwards: what compares is its forwards
  a second.

shap and captum are asked on the tuned network, with the fastest batch. What is made before the first forward
(explainers, the tree of pixels, the choice of a batch) is made by a way's `prepare` and not timed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.peers.question import (
    BATCHES,
    LABEL,
    Counted,
    Question,
    Values,
    fastest_batch,
    masked_logits,
    tuned_logits,
)
from benchmarks.stopwatch import fastest
from harsanyi.interactions import And, MaskedModel, evaluate, shapley_values

PLAIN_BATCH = 32
FIRST, FURTHER = "harsanyi, first input", "harsanyi, further input"
EVERY, SHAPLEY = "every interaction", "Shapley values"
SAMPLED, OWEN, DIFFERENCES = "Shapley values, sampled", "Owen values of pixels", "n differences"


@dataclass(frozen=True)
class Answer:
    """Interactions by index, or values of players; the network asked and its batch, of a peer."""

    run: Callable[[], Tensor]
    network: Counted | None = None
    batch: int | None = None


# harsanyi


def ours(game: MaskedModel) -> Tensor:
    """Every interaction of the one input, which its Shapley values are read off."""
    found = And()(evaluate(game, progress=False))
    shapley_values(found)
    return found.and_[0]


def first_input(question: Question) -> Answer:
    return Answer(lambda: ours(question.game()))


def further_input(question: Question) -> Answer:
    game = question.game()
    ours(game)
    return Answer(partial(ours, game))


# shapiq


def shapiq_plain(question: Question) -> Answer:
    network = Counted(question, torch.contiguous_format)
    values = masked_logits(network, question, PLAIN_BATCH, torch.no_grad)
    return Answer(partial(moebius, values, question.n), network, PLAIN_BATCH)


def shapiq_tuned(question: Question) -> Answer:
    network, values = tuned_logits(question)
    return Answer(partial(moebius, values, question.n), network, fastest_batch(question))


def moebius(values: Values, n: int) -> Tensor:
    """shapiq's Möbius transform, in the order of this project's coalitions."""
    from shapiq import ExactComputer

    found = ExactComputer(values, n)("Moebius")
    interactions = torch.zeros(2**n, dtype=torch.float64)
    for players, place in found.interaction_lookup.items():
        interactions[sum(2 ** (n - 1 - player) for player in players)] = float(found.values[place])
    return interactions


# shap


def shap_exact(question: Question) -> Answer:
    import shap

    network, values = tuned_logits(question)
    explainer = shap.explainers.Exact(values, shap.maskers.Independent(np.zeros((1, question.n))))
    return explained(explainer, np.ones((1, question.n)), network, question)


def shap_partition(question: Question) -> Answer:
    import shap

    def values(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(images).permute(0, 3, 1, 2))[:, LABEL].numpy()

    network = Counted(question)
    pixels = question.image.permute(0, 2, 3, 1).contiguous().numpy()
    explainer = shap.explainers.Partition(values, shap.maskers.Image(0, pixels.shape[1:]))
    return explained(explainer, pixels, network, question)


def explained(explainer: Any, whole: np.ndarray, network: Counted, question: Question) -> Answer:
    """shap's values of what is whole, within 2ⁿ forwards; those of pixels summed over each player."""
    batch = fastest_batch(question)

    def run() -> Tensor:
        found = explainer(whole, max_evals=2**question.n, batch_size=batch, silent=True)
        each = torch.from_numpy(found.values[0])
        if each.ndim == 1:
            return each
        sums = torch.zeros(question.n).double()
        return sums.index_add(0, question.owner.flatten(), each.sum(-1).flatten())

    return Answer(run, network, batch)


# captum


def captum_sampling(question: Question) -> Answer:
    """Of the players as n numbers, 0 or 1, so that no mask of pixels is gone through."""
    from captum.attr import ShapleyValueSampling

    def attribute(batch: int, permutations: int = 1) -> Tensor:
        torch.manual_seed(0)
        options = {"perturbations_per_eval": batch, "n_samples": permutations}
        return explainer.attribute(torch.ones(1, question.n), baselines=0, **options)[0].double()

    network, values = tuned_logits(question)
    explainer = ShapleyValueSampling(lambda players: torch.from_numpy(values(players.bool().numpy())))
    return batched(attribute, network, question.n, permutations=permutations_within(question.n))


def captum_mask(question: Question) -> Answer:
    """Of the pixels with the players as their feature mask, as captum's documentation has it."""
    from captum.attr import ShapleyValueSampling

    def attribute(batch: int, permutations: int = 1) -> Tensor:
        torch.manual_seed(0)
        return of_pixels(explainer, question, perturbations_per_eval=batch, n_samples=permutations)

    network = Counted(question)
    explainer = ShapleyValueSampling(network)
    return batched(attribute, network, question.n, permutations=permutations_within(question.n))


def captum_ablation(question: Question) -> Answer:
    from captum.attr import FeatureAblation

    def attribute(batch: int) -> Tensor:
        return of_pixels(explainer, question, perturbations_per_eval=batch)

    network = Counted(question)
    explainer = FeatureAblation(network)
    return batched(attribute, network, question.n)


def batched(attribute: Callable[..., Tensor], network: Counted, n: int, **options: int) -> Answer:
    """`attribute` in its fastest batch, found without the options."""
    # captum makes batches of one permutation's forwards, of which there are n.
    sizes = sorted({min(batch, n) for batch in BATCHES})
    batch = fastest({size: partial(attribute, size) for size in sizes})
    return Answer(partial(attribute, batch, **options), network, batch)


def permutations_within(n: int) -> int:
    """How many permutations fit 2ⁿ forwards: one for what is masked whole, and n for each."""
    return (2**n - 1) // n


def of_pixels(explainer: Any, question: Question, **options: int) -> Tensor:
    """One value a player, from an attribution that gives it to each of its pixels."""
    with torch.inference_mode():
        found = explainer.attribute(
            question.image, baselines=0, target=LABEL, feature_mask=question.owner[None, None], **options
        )
    return torch.stack([found[0, 0][question.owner == player][0] for player in range(question.n)]).double()


@dataclass(frozen=True)
class Way:
    """Whose it is, what it gives, how, and the most players that it is timed with."""

    package: str
    gives: str
    prepare: Callable[[Question], Answer]
    most: int = 12


WAYS = {
    FIRST: Way("harsanyi", EVERY, first_input),
    FURTHER: Way("harsanyi", EVERY, further_input),
    "shapiq, tuned function": Way("shapiq", EVERY, shapiq_tuned),
    "shapiq, plain function": Way("shapiq", EVERY, shapiq_plain),
    "shap Exact": Way("shap", SHAPLEY, shap_exact),
    "captum ShapleyValueSampling": Way("captum", SAMPLED, captum_sampling),
    "captum, feature mask": Way("captum", SAMPLED, captum_mask, most=8),
    "shap Partition": Way("shap", OWEN, shap_partition),
    "captum FeatureAblation": Way("captum", DIFFERENCES, captum_ablation),
}
