"""Tokenizers: how many tokens a network reads, and what pads a batch of sentences."""

import inspect
import sys
from dataclasses import replace
from typing import Any

from torch import nn

from harsanyi.models.loading.libraries.hub import from_hub
from harsanyi.models.loading.preprocess import Preprocess, TextPreprocess

# Longer sentences are cut, unless preprocessing= says otherwise: attention costs the square of the length.
USUAL_LENGTH = 512
# Special tokens that can stand for the padding where a tokenizer has none, the usual choice first.
STAND_INS = ("eos_token", "bos_token", "unk_token", "cls_token", "sep_token")
POSITIONS = ("position_embeddings", "position_embedding", "embed_positions")


def text_preprocess(source: str, config: Any, left: bool = False) -> TextPreprocess:
    """Load a tokenizer. It cuts sentences to the model's number of positions, to 512 tokens at most.

    Args:
        source: the folder or the hub's name.
        config: of the model, as transformers has it.
        left: pad on the left, and number no segments, as next-token predictors need it.

    Returns:
        the preprocessing of sentences.

    Raises:
        ValueError: the tokenizer has no token that could pad.
    """
    from transformers import AutoTokenizer

    # A prompt is one segment. Some tokenizers number it all the same; GPT-2 would read that as a token.
    causal = {"padding_side": "left", "model_input_names": ["input_ids", "attention_mask"]} if left else {}
    tokenizer = from_hub(AutoTokenizer, source, **causal)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = _padding(tokenizer, config, source)
    return TextPreprocess(tokenizer, _usual_length(tokenizer, config))


def fit_text(model: nn.Module, preprocess: Preprocess) -> Preprocess:
    """Make a tokenizer and its model agree on padding, positions and the number of tokens.

    Args:
        model: of transformers, with its weights; its config gets the padding token where it has none.
        preprocess: of sentences; others stay as they are.

    Returns:
        the preprocessing for the model.

    Raises:
        ValueError: the model has no embedding for the padding token, or too few positions for max_length.
    """
    if not isinstance(preprocess, TextPreprocess):
        return preprocess
    tokenizer, config = preprocess.tokenizer, getattr(model, "config", None)
    _agree_on_padding(model, config, tokenizer)
    rows = _rows(model)
    if rows is not None and tokenizer.pad_token_id >= rows:
        raise ValueError(
            f"the tokenizer pads with {tokenizer.pad_token!r}, token {tokenizer.pad_token_id}, but "
            f"the network has embeddings for {rows} tokens alone: call model.resize_token_embeddings("
            "len(tokenizer)) and save it again, or take the padding token out of the tokenizer's files"
        )
    positions = _positions(model, config)
    if preprocess.max_length > positions:
        if preprocess.max_length != _usual_length(tokenizer, config):
            raise ValueError(
                f"max_length is {preprocess.max_length}, but the network has {positions} positions: give less"
            )
        preprocess = replace(preprocess, max_length=positions)
    taken = inspect.signature(model.forward).parameters
    # Tokenizers of no particular kind number segments, also for networks that take no such numbers.
    tokenizer.model_input_names = [name for name in tokenizer.model_input_names if name in taken]
    counts = tokenizer.padding_side == "left" and "position_ids" in taken
    return replace(preprocess, count_positions=counts, vocabulary=rows)


def _usual_length(tokenizer: Any, config: Any) -> int:
    """The number of tokens that sentences are cut to where nobody says otherwise."""
    positions = getattr(config, "max_position_embeddings", None) or -1
    # XLNet has -1: its positions are relative, and there are as many as a sentence needs.
    return min(tokenizer.model_max_length, positions if positions > 0 else USUAL_LENGTH, USUAL_LENGTH)


def _padding(tokenizer: Any, config: Any, source: str) -> str:
    """The token that pads for a tokenizer without one: the config's, else one that ends no sentence.

    Classifiers without attention to all tokens read the last one that is no padding.
    """
    number = getattr(config, "pad_token_id", None)
    if isinstance(number, int) and 0 <= number < len(tokenizer):
        return str(tokenizer.convert_ids_to_tokens(number))
    last = tokenizer("a")["input_ids"][-1:]
    for name in STAND_INS:
        token = getattr(tokenizer, name, None)
        if token is not None and tokenizer.convert_tokens_to_ids(token) not in last:
            return token
    raise ValueError(
        f"the tokenizer of {source} has no padding token and no special token that could stand for it: "
        "set tokenizer.pad_token and save it again"
    )


def _agree_on_padding(model: nn.Module, config: Any, tokenizer: Any) -> None:
    """One padding token for both, where the model looks for it in a sentence; padding where it belongs."""
    if getattr(config, "summary_type", None) == "last":  # XLNet reads the last token, padding or not
        tokenizer.padding_side = "left"
    names = getattr(inspect.unwrap(type(model).forward), "__code__", None)
    if config is None or names is None or "pad_token_id" not in names.co_names:
        return
    number = getattr(config, "pad_token_id", None)
    if number is None:
        config.pad_token_id = tokenizer.pad_token_id
    elif number != tokenizer.pad_token_id and 0 <= number < len(tokenizer):
        tokenizer.pad_token = str(tokenizer.convert_ids_to_tokens(number))


def _rows(model: nn.Module) -> int | None:
    """The number of tokens that a model has embeddings for."""
    try:
        weight = getattr(model.get_input_embeddings(), "weight", None)  # type: ignore[operator]
    except (AttributeError, NotImplementedError):
        return None
    return None if weight is None or weight.ndim != 2 else len(weight)


def _positions(model: nn.Module, config: Any) -> int:
    """The number of tokens that a model has positions for; boundless where they are relative."""
    limit = getattr(config, "max_position_embeddings", None) or 0
    counts = [limit] if limit > 0 else []
    for name, module in model.named_modules():
        numbered = name.rpartition(".")[2] in POSITIONS and isinstance(module, nn.Embedding)
        if numbered and module.padding_idx is not None:  # RoBERTa counts from the padding token's number
            counts.append(module.num_embeddings - module.padding_idx - 1)
    return min(counts, default=sys.maxsize)
