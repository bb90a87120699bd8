"""How `benchmarks.peers` calls each package, and what the package gives.

- harsanyi gives every interaction, and the Shapley values with them. "first input" includes the work done
  once for a network and its players (trace, regions, indices), and is measured once, at the start. "further
  input" is each input after that. Its masked inputs are those it answers for, not forwards.
- shapiq gives every interaction by ExactComputer("Moebius") on a function of coalitions: a plain one (batches
  of 32, no gradients) and a tuned one (channels-last, inference mode, of a language model the last position's
  logits alone, the fastest batch of 4, 8 and 16). The time includes its own transform, 3ⁿ steps of Python.
- shap's Exact makes 2ⁿ forwards. Its Partition, which divides pixels and not players, may make 2ⁿ; its values
  are summed over the pixels of a player.
- captum's ShapleyValueSampling gets as many whole permutations as fit 2ⁿ forwards, with the players as n
  numbers. With its feature mask of pixels, it loops over every pixel in Python for each permutation, and is
  timed up to 8 players. FeatureAblation makes n + 1 forwards; its forwards a second can be compared.

shap and captum get the tuned network with the fastest batch. What divides pixels is left out for sentences.
The work before the first forward (explainers, the tree of pixels, the choice of a batch) is done by a way's
`prepare` and not timed.
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
    ImageQuestion,
    Question,
    Values,
    fastest_batch,
    masked_scores,
    tuned_scores,
)
from benchmarks.stopwatch import fastest
from harsanyi.interactions import And, MaskedModel, evaluate, shapley_values

PLAIN_BATCH = 32
FIRST, FURTHER = "harsanyi, first input", "harsanyi, further input"
EVERY, SHAPLEY = "every interaction", "Shapley values"
SAMPLED, OWEN, DIFFERENCES = "Shapley values, sampled", "Owen values of pixels", "n differences"


@dataclass(frozen=True)
class Answer:
    """How to get interactions by index, or values of players.

    Attributes:
        run: computes them.
        network: of a peer, which counts its inputs.
        batch: of a peer.
    """

    run: Callable[[], Tensor]
    network: Counted | None = None
    batch: int | None = None


# harsanyi


def ours(game: MaskedModel) -> Tensor:
    """Every interaction of the one input; the Shapley values are computed too."""
    interactions = And()(evaluate(game, progress=False))
    shapley_values(interactions)
    return interactions.and_[0]


def first_input(question: Question) -> Answer:
    """harsanyi, with the work done once for a network and its players."""
    return Answer(lambda: ours(question.game()))


def further_input(question: Question) -> Answer:
    """harsanyi, after that work."""
    game = question.game()
    ours(game)
    return Answer(partial(ours, game))


# shapiq


def shapiq_plain(question: Question) -> Answer:
    """shapiq on a plain function of coalitions."""
    network = Counted(question, torch.contiguous_format, tuned=False)
    values = masked_scores(network, question, PLAIN_BATCH, torch.no_grad)
    return Answer(partial(moebius, values, question.n), network, PLAIN_BATCH)


def shapiq_tuned(question: Question) -> Answer:
    """shapiq on the fastest function of coalitions."""
    network, values = tuned_scores(question)
    return Answer(partial(moebius, values, question.n), network, fastest_batch(question))


def moebius(values: Values, n: int) -> Tensor:
    """shapiq's Möbius transform, in the order of this project's coalitions."""
    from shapiq import ExactComputer

    exact = ExactComputer(values, n)("Moebius")
    interactions = torch.zeros(2**n, dtype=torch.float64)
    for players, place in exact.interaction_lookup.items():
        interactions[sum(2 ** (n - 1 - player) for player in players)] = float(exact.values[place])
    return interactions


# shap


def shap_exact(question: Question) -> Answer:
    """shap's Exact explainer, with the players as n numbers."""
    import shap

    network, values = tuned_scores(question)
    explainer = shap.explainers.Exact(values, shap.maskers.Independent(np.zeros((1, question.n))))
    return explained(explainer, np.ones((1, question.n)), network, question)


def shap_partition(question: ImageQuestion) -> Answer:
    """shap's Partition explainer, on the pixels."""
    import shap

    def values(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(images).permute(0, 3, 1, 2))[:, LABEL].numpy()

    network = Counted(question)
    pixels = question.input.permute(0, 2, 3, 1).contiguous().numpy()
    explainer = shap.explainers.Partition(values, shap.maskers.Image(0, pixels.shape[1:]))

    def of_players(each: Tensor) -> Tensor:
        sums = torch.zeros(question.n).double()
        return sums.index_add(0, question.owner.flatten(), each.sum(-1).flatten())

    return explained(explainer, pixels, network, question, of_players)


def explained(
    explainer: Any,
    whole: np.ndarray,
    network: Counted,
    question: Question,
    of_players: Callable[[Tensor], Tensor] = lambda each: each,
) -> Answer:
    """shap's values within 2ⁿ forwards.

    Args:
        explainer: of shap's.
        whole: the unmasked input.
        network: that it calls.
        question: whose players.
        of_players: takes shap's values and gives one a player.
    """
    batch = fastest_batch(question)

    def run() -> Tensor:
        explanation = explainer(whole, max_evals=2**question.n, batch_size=batch, silent=True)
        return of_players(torch.from_numpy(explanation.values[0]))

    return Answer(run, network, batch)


# captum


def captum_sampling(question: Question) -> Answer:
    """captum's sampled Shapley values of the players as n numbers, 0 or 1."""
    from captum.attr import ShapleyValueSampling

    def attribute(batch: int, permutations: int = 1) -> Tensor:
        torch.manual_seed(0)
        options = {"perturbations_per_eval": batch, "n_samples": permutations}
        return explainer.attribute(torch.ones(1, question.n), baselines=0, **options)[0].double()

    network, values = tuned_scores(question)
    explainer = ShapleyValueSampling(lambda players: torch.from_numpy(values(players.bool().numpy())))
    return batched(attribute, network, question.n, permutations=permutations_within(question.n))


def captum_mask(question: ImageQuestion) -> Answer:
    """captum's sampled Shapley values of the pixels with a feature mask, as in its documentation."""
    from captum.attr import ShapleyValueSampling

    def attribute(batch: int, permutations: int = 1) -> Tensor:
        torch.manual_seed(0)
        return of_pixels(explainer, question, perturbations_per_eval=batch, n_samples=permutations)

    network = Counted(question)
    explainer = ShapleyValueSampling(network)
    return batched(attribute, network, question.n, permutations=permutations_within(question.n))


def captum_ablation(question: ImageQuestion) -> Answer:
    """captum's feature ablation, with a feature mask."""
    from captum.attr import FeatureAblation

    def attribute(batch: int) -> Tensor:
        return of_pixels(explainer, question, perturbations_per_eval=batch)

    network = Counted(question)
    explainer = FeatureAblation(network)
    return batched(attribute, network, question.n)


def batched(attribute: Callable[..., Tensor], network: Counted, n: int, **options: int) -> Answer:
    """An attribution with its fastest batch, measured without the options.

    Args:
        attribute: takes a batch size and the options.
        network: that it calls.
        n: players.
        options: for `attribute`.
    """
    # captum makes batches of one permutation's forwards, of which there are n.
    sizes = sorted({min(batch, n) for batch in BATCHES})
    batch = fastest({size: partial(attribute, size) for size in sizes})
    return Answer(partial(attribute, batch, **options), network, batch)


def permutations_within(n: int) -> int:
    """How many permutations fit 2ⁿ forwards: one for the fully masked input, and n for each permutation."""
    return (2**n - 1) // n


def of_pixels(explainer: Any, question: ImageQuestion, **options: int) -> Tensor:
    """One value a player, from an attribution that repeats it for each of the player's pixels."""
    with torch.inference_mode():
        attribution = explainer.attribute(
            question.input, baselines=0, target=LABEL, feature_mask=question.owner[None, None], **options
        )
    return torch.stack(
        [attribution[0, 0][question.owner == player][0] for player in range(question.n)]
    ).double()


@dataclass(frozen=True)
class Way:
    """One way to answer the question.

    Attributes:
        package: whose it is.
        gives: the kind of its values.
        prepare: does all work before the first forward.
        max_players: it is timed with at most.
        of_pixels: whether it divides the pixels of an image, so that a sentence has nothing for it.
    """

    package: str
    gives: str
    prepare: Callable[[Any], Answer]
    max_players: int = 12
    of_pixels: bool = False

    def serves(self, question: Question) -> bool:
        """Whether it is timed with a question."""
        return question.n <= self.max_players and (not self.of_pixels or isinstance(question, ImageQuestion))


WAYS = {
    FIRST: Way("harsanyi", EVERY, first_input),
    FURTHER: Way("harsanyi", EVERY, further_input),
    "shapiq, tuned function": Way("shapiq", EVERY, shapiq_tuned),
    "shapiq, plain function": Way("shapiq", EVERY, shapiq_plain),
    "shap Exact": Way("shap", SHAPLEY, shap_exact),
    "captum ShapleyValueSampling": Way("captum", SAMPLED, captum_sampling),
    "captum, feature mask": Way("captum", SAMPLED, captum_mask, max_players=8, of_pixels=True),
    "shap Partition": Way("shap", OWEN, shap_partition, of_pixels=True),
    "captum FeatureAblation": Way("captum", DIFFERENCES, captum_ablation, of_pixels=True),
}
