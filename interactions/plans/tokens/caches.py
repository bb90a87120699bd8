"""Key-value caches of causal language models: reading on behind a prefix, selecting rows, memory a token."""

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from harsanyi.interactions.game.forward import LAST_ALONE, arguments, logits_of
from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.plans.plan import calling_the_network
from harsanyi.interactions.plans.tokens.games import token_inputs


def read_behind(
    past: Any, model: Any, inputs: dict[str, Tensor], start: int, end: int, *, scored: bool = True
) -> tuple[Any, Float[Tensor, "rows last vocabulary"]]:
    """Run the model on tokens[start:end] behind the cache of the tokens before.

    Args:
        past: the cache of tokens[:start]; it grows in place.
        model: a causal language model.
        inputs: all tokens `(rows, tokens)`, by keyword.
        start, end: the tokens to read now.
        scored: whether to give logits, at the last position. Where the model can, it computes no others.

    Returns:
        The cache of tokens[:end], and the logits.
    """
    new: dict[str, Any] = {
        # The attention mask is of the past too.
        name: value[:, 0 if name == "attention_mask" else start : end]
        for name, value in inputs.items()
    }
    if LAST_ALONE in arguments(model):
        new[LAST_ALONE] = 1 if scored else inputs["input_ids"].new_empty(0)
    with calling_the_network():
        outputs = model(**new, past_key_values=past, use_cache=True)
        return outputs.past_key_values, logits_of(outputs)[:, -1:]


def select_rows(cache: Any, rows: Int64[Tensor, " rows"]) -> Any:
    """A new cache with some rows of another; an empty one for None.

    It uses only the interface that versions 4 and 5 of transformers have in common.
    """
    from transformers.cache_utils import DynamicCache

    selected = DynamicCache()
    for layer, (keys, values, *_) in enumerate([] if cache is None else cache):
        selected.update(keys[rows], values[rows], layer)
    return selected


def token_bytes(game: MaskedModel) -> int:
    """Bytes of one token of one row in a cache, measured by a forward of one input.

    Raises:
        NotApplicable: if the model has no cache, or its cache does not hold every token.
    """
    zero = torch.zeros(1, dtype=torch.int64, device=game.device)
    inputs = token_inputs(
        game, zero + game.first, torch.ones(1, game.n, dtype=torch.bool, device=game.device)
    )
    tokens = inputs["input_ids"].shape[1]
    cache, _ = read_behind(select_rows(None, zero), game.model, inputs, 0, tokens)
    with calling_the_network():
        layers = [(keys, values) for keys, values, *_ in cache]
        if not layers or any(keys.shape[-2] != tokens for keys, _ in layers):
            raise ValueError("its cache does not hold every token")
        return sum(keys.nbytes + values.nbytes for keys, values in layers) // tokens
