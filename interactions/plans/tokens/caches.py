"""Key-value caches of transformers: what a causal model keeps of the tokens that it has read."""

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from harsanyi.interactions.game.forward import logits_of
from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.plans.plan import refusing_what_fails
from harsanyi.interactions.plans.tokens.games import arguments, token_inputs


def read_behind(
    past: Any, model: Any, inputs: dict[str, Tensor], start: int, end: int, *, scored: bool = True
) -> tuple[Any, Float[Tensor, "rows last vocabulary"]]:
    """The model on tokens[start:end] behind the cache of those before.

    Args:
        past: holds tokens[:start]; it grows in place.
        inputs: all tokens `(rows, tokens)`, by keyword.
        scored: whether logits are wanted, at the last position. Where the model can, it computes no others.

    Returns:
        the cache of tokens[:end], and the logits.
    """
    new: dict[str, Any] = {
        # The attention mask is of the past too.
        name: value[:, 0 if name == "attention_mask" else start : end]
        for name, value in inputs.items()
    }
    if "logits_to_keep" in arguments(model):
        new["logits_to_keep"] = 1 if scored else inputs["input_ids"].new_empty(0)
    outputs = model(**new, past_key_values=past, use_cache=True)
    return outputs.past_key_values, logits_of(outputs)[:, -1:]


def rows_taken(cache: Any, rows: Int64[Tensor, " rows"]) -> Any:
    """A new cache of these rows of one, or an empty one for None.

    Of the caches' interface, only what versions 4 and 5 of transformers have in common.
    """
    from transformers.cache_utils import DynamicCache

    taken = DynamicCache()
    for number, (keys, values, *_) in enumerate([] if cache is None else cache):
        taken.update(keys[rows], values[rows], number)
    return taken


def token_bytes(game: MaskedModel) -> int:
    """What a token takes in a cache, from a forward of one input.

    Raises:
        NotApplicable: if the model keeps no cache, or none of every token.
    """
    zero = torch.zeros(1, dtype=torch.int64, device=game.device)
    inputs = token_inputs(game, zero, torch.ones(1, game.n, dtype=torch.bool, device=game.device))
    tokens = inputs["input_ids"].shape[1]
    with refusing_what_fails():
        cache, _ = read_behind(rows_taken(None, zero), game.model, inputs, 0, tokens)
        layers = [(keys, values) for keys, values, *_ in cache]
        if not layers or any(keys.shape[-2] != tokens for keys, _ in layers):
            raise ValueError("its cache does not hold every token")
        return sum(keys.nbytes + values.nbytes for keys, values in layers) // tokens
