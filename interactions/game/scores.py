"""Scores: the number that a network's outputs give for a label, in float64."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

# Takes the outputs and the labels (or None) of a batch, and gives a number for each.
Score = Callable[[Tensor, Any], Tensor]


def log_odds(
    outputs: Float[Tensor, "batch *classes"], labels: Int64[Tensor, " batch"]
) -> Float64[Tensor, " batch"]:
    """Log-odds of the label, z_y − logsumexp(z_{≠y}) = log p_y / (1 − p_y), in nats.

    A single output z is the log-odds of class 1 against class 0: z for label 1, −z for label 0.

    >>> log_odds(torch.tensor([[2.0, 0.0]]), torch.tensor([0])).tolist()
    [2.0]
    >>> log_odds(torch.tensor([[2.0], [2.0]]), torch.tensor([1, 0])).tolist()
    [2.0, -2.0]
    """
    outputs = by_class(outputs)
    if outputs.shape[1] == 1:
        return _signed(outputs, labels)
    chosen = labels[:, None]
    others = outputs.scatter(1, chosen, -torch.inf)
    return outputs.gather(1, chosen)[:, 0] - others.logsumexp(1)


def logit(
    outputs: Float[Tensor, "batch *classes"], labels: Int64[Tensor, " batch"]
) -> Float64[Tensor, " batch"]:
    """The label's logit z_y."""
    return by_class(outputs).gather(1, labels[:, None])[:, 0]


def log_prob(
    outputs: Float[Tensor, "batch *classes"], labels: Int64[Tensor, " batch"]
) -> Float64[Tensor, " batch"]:
    """Log-probability of the label, z_y − logsumexp(z), in nats.

    A single output z is the log-odds of class 1 against class 0: log σ(z) for label 1, log σ(−z) for label 0.
    """
    outputs = by_class(outputs)
    if outputs.shape[1] == 1:
        return torch.nn.functional.logsigmoid(_signed(outputs, labels))
    return logit(outputs.log_softmax(1), labels)


def sigmoid_log_odds(
    outputs: Float[Tensor, "batch *labels"], labels: Int64[Tensor, " batch"]
) -> Float64[Tensor, " batch"]:
    """Log-odds of one label of a multi-label network, log σ(z_y) / (1 − σ(z_y)) = z_y, in nats.

    Every label stands for itself: the other outputs do not enter.

    >>> sigmoid_log_odds(torch.tensor([[2.0, 5.0]]), torch.tensor([0])).tolist()
    [2.0]
    """
    return logit(outputs, labels)


def pixel_log_odds(
    outputs: Float[Tensor, "batch classes height width"], labels: Int64[Tensor, " batch"]
) -> Float64[Tensor, " batch"]:
    """Mean over all pixels of the log-odds of a class, of a network that answers at every pixel, in nats.

    >>> pixel_log_odds(torch.tensor([[[[2.0, 4.0]], [[0.0, 0.0]]]]), torch.tensor([0])).tolist()
    [3.0]
    """
    if outputs.ndim != 4:
        raise ValueError(
            f"pixel_log_odds needs outputs (batch, classes, height, width), got shape {tuple(outputs.shape)}"
        )
    if outputs.shape[1] == 1:
        return log_odds(outputs.double().mean((2, 3)), labels)
    chosen = labels[:, None, None, None].expand(-1, 1, *outputs.shape[2:])
    maps = outputs.double()
    others = maps.scatter(1, chosen, -torch.inf)
    return (maps.gather(1, chosen)[:, 0] - others.logsumexp(1)).mean((1, 2))


def pixel_log_odds_of_all(
    outputs: Float[Tensor, "batch classes height width"],
) -> Float64[Tensor, "batch classes"]:
    """`pixel_log_odds` of every class, which is all that is kept of maps.

    >>> pixel_log_odds_of_all(torch.tensor([[[[2.0, 4.0]], [[0.0, 0.0]]]])).tolist()
    [[3.0, -3.0]]
    """
    numbers = torch.arange(outputs.shape[1] if outputs.ndim == 4 else 1, device=outputs.device)
    return torch.stack([pixel_log_odds(outputs, k.expand(len(outputs))) for k in numbers], dim=1)


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


def by_class(outputs: Float[Tensor, "batch *classes"]) -> Float64[Tensor, "batch classes"]:
    """A classifier's outputs in float64, a column a class; one column for outputs `(batch,)`.

    Raises:
        ValueError: for outputs with more axes, such as one for each pixel.
    """
    if outputs.ndim == 1:
        outputs = outputs[:, None]
    if outputs.ndim != 2:
        raise ValueError(
            f"expected a classifier's outputs (batch, classes), got shape {tuple(outputs.shape)}: for those "
            'at pixels pass score="pixel_log_odds", or a function such as score=lambda outputs, labels: '
            'outputs[:, 0].mean((1, 2)); for those of a language model score="next_token_log_odds"'
        )
    return outputs.double()


def _signed(outputs: Float64[Tensor, "batch 1"], labels: Int64[Tensor, " batch"]) -> Tensor:
    """A single output for label 1, its negative for label 0."""
    return torch.where(labels == 1, outputs[:, 0], -outputs[:, 0])


SCORES: dict[str, Score] = {
    "log_odds": log_odds,
    "logit": logit,
    "log_prob": log_prob,
    "sigmoid_log_odds": sigmoid_log_odds,
    "pixel_log_odds": pixel_log_odds,
    "output": output,
    "next_token_log_odds": next_token_log_odds,
}
# The unit of each score; any other score is its own unit.
SCORE_UNITS = {
    "log_odds": "log-odds, nats",
    "log_prob": "log-probability, nats",
    "sigmoid_log_odds": "log-odds, nats",
    "pixel_log_odds": "mean log-odds of a pixel, nats",
    "next_token_log_odds": "log-odds, nats",
}
# Scores that need a label.
LABELLED = (log_odds, logit, log_prob, sigmoid_log_odds, pixel_log_odds, next_token_log_odds)
# Scores of outputs at every pixel.
OF_MAPS = (pixel_log_odds,)
# Scores of labels that each stand for themselves.
OF_LABELS = (sigmoid_log_odds,)
# Scores that read the outputs of a language model at the last position only.
LAST_POSITION = (next_token_log_odds,)
# Scores that take a single output for the log-odds of two classes.
TWO_CLASSES = (log_odds, log_prob, pixel_log_odds)
# Scores whose formula is one of logits, and holds for the logarithms of probabilities too.
OF_LOGITS = (log_odds, log_prob, sigmoid_log_odds, pixel_log_odds, next_token_log_odds)


def score_name(score: Score) -> str:
    """The name of a score, built in or not, for messages."""
    return getattr(score, "__name__", repr(score))


def unit_of(score: str) -> str:
    """The unit of a score of this name, for axes."""
    return SCORE_UNITS.get(score, score)


def score_named(score: str | Score) -> Score:
    """A built-in score by its name, or the callable itself."""
    if not isinstance(score, str):
        return score
    if score not in SCORES:
        raise ValueError(f"no score is called {score!r}; there are {', '.join(SCORES)}, or pass a callable")
    return SCORES[score]
