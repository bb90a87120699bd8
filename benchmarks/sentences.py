"""The games of the text benchmarks: networks of common shapes with random weights, and a random sentence."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from harsanyi.interactions import MaskedModel, Players

WORDS, BASELINE = 12, 3
# Two tokens a word, one token before all words and one after.
OWNER = torch.tensor([-1, *(word for word in range(WORDS) for _ in range(2)), -1])


def encoder() -> nn.Module:
    """Six layers of BERT."""
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    return BertForSequenceClassification(config)


def causal() -> nn.Module:
    """A network with the shape of SmolLM2-135M, 30 layers."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config)


def is_causal(network: nn.Module) -> bool:
    """Whether the network gives the next token and not a class."""
    return type(network).__name__.endswith("ForCausalLM")


def game(network: nn.Module, changed: str) -> MaskedModel:
    """The game of the sentence. Its score: log-odds of the first class, or of the first token as the next.

    Args:
        network: that is asked.
        changed: the input that absent words change: "input_ids", or "attention_mask" with zeros for them.
    """
    ids = torch.randint(5, 1000, (1, len(OWNER)), generator=torch.Generator().manual_seed(0))
    return MaskedModel(
        network.eval(),
        {"input_ids": ids, "attention_mask": torch.ones_like(ids)},
        Players(OWNER, WORDS, axis=0),
        labels=[0],
        baseline=float(BASELINE) if changed == "input_ids" else "zeros",
        score="next_token_log_odds" if is_causal(network) else "log_odds",
        masked=changed,
    )


def present(coalitions: Tensor) -> Tensor:
    """Whether each token of the sentence is there, `(coalitions, tokens)`."""
    owner = torch.where(OWNER < 0, WORDS, OWNER)
    return nn.functional.pad(coalitions, (0, 1), value=True)[:, owner]


def masked(ids: Tensor, coalitions: Tensor) -> Tensor:
    """The sentence's ids, with `BASELINE` for the tokens of absent words."""
    return torch.where(present(coalitions), ids, BASELINE)


def of(network: Callable[[], nn.Module]) -> MaskedModel:
    """The game of a network with random weights, words replaced."""
    torch.manual_seed(0)
    return game(network(), "input_ids")


NETWORKS = {"bert-6": partial(of, encoder), "causal-30": partial(of, causal)}
TITLES = {"bert-6": "BERT, 6 layers", "causal-30": "SmolLM2-135M's shape"}
