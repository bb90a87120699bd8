"""Scores: the one number read off a network's outputs for a label, in float64."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

Score = Callable[[Tensor, Tensor | None], Tensor]


def log_odds(
    outputs: Float[Tensor, "batch classes"], labels: Int64[Tensor, " batch"]
) -> Float64[Tensor, " batch"]:
    """Log-odds of the label, z_y − logsumexp(z_{≠y}) = log p_y / (1 − p_y), in nats.

    >>> log_odds(torch.tensor([[2.0, 0.0]]), torch.tensor([0])).tolist()
    [2.0]
    """
    if outputs.shape[-1] < 2:
        raise ValueError('log-odds need two classes or more; for a single output use score="output"')
    outputs = outputs.double()
    chosen = labels[:, None]
    others = outputs.scatter(1, chosen, -torch.inf)
    return outputs.gather(1, chosen)[:, 0] - others.logsumexp(1)


def logit(
    outputs: Float[Tensor, "batch classes"], labels: Int64[Tensor, " batch"]
) -> Float64[Tensor, " batch"]:
    """The label's logit z_y."""
    return outputs.double().gather(1, labels[:, None])[:, 0]


def log_prob(
    outputs: Float[Tensor, "batch classes"], labels: Int64[Tensor, " batch"]
) -> Float64[Tensor, " batch"]:
    """Log-probability of the label, z_y − logsumexp(z), in nats."""
    return logit(outputs.double().log_softmax(1), labels)


def output(
    outputs: Float[Tensor, "batch ..."], labels: Int64[Tensor, " batch"] | None
) -> Float64[Tensor, " batch"]:
    """A regression output: the only one, or the column that `labels` names."""
    outputs = outputs.double().flatten(1) if outputs.ndim > 1 else outputs.double()[:, None]
    if labels is not None:
        return logit(outputs, labels)
    if outputs.shape[1] != 1:
        raise ValueError(f"the network has {outputs.shape[1]} outputs: name the column to score by labels=")
    return outputs[:, 0]


def next_token_log_odds(
    outputs: Float[Tensor, "batch tokens vocabulary"], labels: Int64[Tensor, " batch"]
) -> Float64[Tensor, " batch"]:
    """Log-odds of token `labels` after the last position; pad prompts on the left."""
    if outputs.ndim != 3:
        raise ValueError(
            "next_token_log_odds needs a language model's outputs (batch, tokens, vocabulary), got shape "
            f"{tuple(outputs.shape)}"
        )
    return log_odds(outputs[:, -1], labels)


SCORES: dict[str, Score] = {
    score.__name__: score  # type: ignore[attr-defined,misc]
    for score in (log_odds, logit, log_prob, output, next_token_log_odds)
}


# These read the score off at a label and cannot do without one.
LABELLED = (log_odds, logit, log_prob, next_token_log_odds)
# These read the outputs of a language model at its last position alone.
LAST_POSITION = (next_token_log_odds,)


def score_named(score: str | Score) -> Score:
    """A built-in score by its name, or the callable itself."""
    if not isinstance(score, str):
        return score
    if score not in SCORES:
        raise ValueError(f"no score is called {score!r}; there are {', '.join(SCORES)}, or pass a callable")
    return SCORES[score]
