"""Value tables on an accelerator: plans beside float64 on the CPU, `evaluate` beside plain forwards."""

import statistics
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.accelerator.there import Sizes, There
from harsanyi import models  # noqa: F401  registers torchvision's operators
from harsanyi.accelerator import CPU
from harsanyi.interactions import MaskedModel, Players, coalition_masks, evaluate
from harsanyi.interactions.evaluate import evaluate_pairs
from harsanyi.interactions.game.forward import channels_last, strict_float32
from harsanyi.interactions.plans.choice import PLANS, choose

# Coalitions that are computed in float64 on the CPU, spread over all.
CHECKED = 16
# Forwards of a plain batch that are timed; the table's number is scaled from them.
PLAIN_FORWARDS = 512


def plans(there: There) -> Iterator[dict[str, Any]]:
    """Each network by each plan that suits it."""
    for name in (*there.sizes.networks, *SENTENCES):
        yield from _plans_of(name, there)


def _plans_of(name: str, there: There) -> Iterator[dict[str, Any]]:
    """One network: its whole value table by the plans, and in plain forwards."""
    game = game_of(name, there.sizes, there.device)
    plain = _plain_seconds(there, game)
    chosen = torch.linspace(0, 2**game.n - 1, min(CHECKED, 2**game.n)).long()
    truth = _in_float64(name, there.sizes, chosen)[None]
    for plan in ("dense", *PLANS):
        row: dict[str, Any] = {"network": name, "players": game.n, "plan": plan}
        try:
            made = there.once(partial(choose, game, plan))
        except ValueError as reason:
            if "does not suit" not in str(reason):
                raise
            yield row | {"why not": str(reason.__cause__ or reason)[:80]}
            continue
        found = evaluate(game, plan=plan, progress=False)
        computed = partial(evaluate, game, plan=plan, progress=False)
        seconds, peak = there.seconds(computed), there.peak_mebibytes(computed)
        yield row | {
            "made once, s": made,
            "table, s": seconds,
            "inputs a second": 2**game.n / seconds,
            "time, plan / plain forwards": seconds / plain,
            "error": float((found[0, chosen].cpu() - truth).abs().max() / truth.abs().max()),
            "peak, MiB": peak,
        }


def overhead(there: There) -> Iterator[dict[str, Any]]:
    """`evaluate` without a plan beside plain forwards of ready batches, in turns."""
    for name in there.sizes.networks[:3]:
        game = game_of(name, there.sizes, there.device)
        size = min(game.batch_size(), 2**game.n)
        coalitions = coalition_masks(game.n)[: max(1, PLAIN_FORWARDS // size) * size]
        turns = _in_turns(there, game, coalitions, size)
        ratios = sorted(second / first for first, second in turns)
        yield {
            "network": name,
            "batch": size,
            "plain forwards, inputs a second": len(coalitions) / statistics.median(one for one, _ in turns),
            "time, evaluate / plain forwards": statistics.median(ratios),
            "least": ratios[0],
            "largest": ratios[-1],
        }


def _in_turns(there: There, game: MaskedModel, coalitions: Tensor, size: int) -> list[tuple[float, float]]:
    """Seconds of plain forwards of ready batches, and of `evaluate` on as many coalitions, in turns."""
    (source, _), count = _rows(game, size), len(coalitions)

    def plain() -> None:
        with torch.inference_mode(), strict_float32():
            for _ in range(0, count, size):
                game.model(source)

    def masked() -> None:
        evaluate(game, coalitions, batch_size=size, progress=False)

    plain()
    masked()
    return [(there.once(plain), there.once(masked)) for _ in range(3 * there.sizes.rounds)]


def game_of(name: str, sizes: Sizes, device: torch.device, dtype: torch.dtype = torch.float32) -> MaskedModel:
    """One game of a network with random weights: an image in cells, or a sentence of words.

    Args:
        name: "bert", "gpt2", or a network of torchvision's.
        sizes: of the input.
        device: where it is computed.
        dtype: of weights and images.
    """
    from torchvision.models import get_model

    with torch.random.fork_rng():
        torch.manual_seed(0)
        if name in SENTENCES:
            return _of_words(name, sizes, device, dtype)
        network = _with_used_norms(get_model(name, weights=None, num_classes=10))
        image = torch.randn(1, 3, sizes.pixels, sizes.pixels)
    rows, columns = sizes.grid
    owner = torch.arange(rows).repeat_interleave(-(-sizes.pixels // rows))[: sizes.pixels, None] * columns
    owner = owner + torch.arange(columns).repeat_interleave(-(-sizes.pixels // columns))[: sizes.pixels]
    players = Players(owner, rows * columns, axis=-2)
    return MaskedModel(network.to(device, dtype).eval(), image, players, labels=[1])


def _of_words(name: str, sizes: Sizes, device: torch.device, dtype: torch.dtype) -> MaskedModel:
    """An encoder whose absent words get no attention, or a causal model asked for the next token."""
    n = sizes.grid[0] * sizes.grid[1]
    owner = torch.tensor([-1, *(min(token, n - 1) for token in range(sizes.tokens - 2)), -1])
    ids = torch.randint(5, 100, (1, sizes.tokens))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    network, options = SENTENCES[name](sizes)
    return MaskedModel(
        network.to(device, dtype).eval(), inputs, Players(owner, n, axis=0), labels=[1], **options
    )


def _bert(sizes: Sizes) -> tuple[nn.Module, dict[str, Any]]:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        hidden_size=sizes.width,
        num_hidden_layers=sizes.layers,
        intermediate_size=4 * sizes.width,
        num_attention_heads=12,
    )
    return BertForSequenceClassification(config), {"baseline": "unattended"}


def _gpt2(sizes: Sizes) -> tuple[nn.Module, dict[str, Any]]:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_layer=sizes.layers, n_embd=sizes.width, n_head=12)
    return GPT2LMHeadModel(config), {"baseline": 1.0, "score": "next_token_log_odds"}


SENTENCES: dict[str, Callable[[Sizes], tuple[nn.Module, dict[str, Any]]]] = {"bert": _bert, "gpt2": _gpt2}


def _with_used_norms(network: nn.Module) -> nn.Module:
    """With batch norms that have seen noise: untouched, some new networks give next to nothing."""
    network.train()
    with torch.no_grad():
        network(
            torch.randn(4, 3, 64, 64) if not hasattr(network, "image_size") else torch.randn(2, 3, 224, 224)
        )
    return network.eval()


def _in_float64(name: str, sizes: Sizes, chosen: Tensor) -> Tensor:
    """The scores of some coalitions in float64 on the CPU."""
    game = game_of(name, sizes, CPU, torch.float64)
    return evaluate_pairs(game, torch.zeros_like(chosen), coalition_masks(game.n, chosen))


def _plain_seconds(there: There, game: MaskedModel) -> float:
    """Seconds of a forward for each coalition in ready batches, scaled from some hundred."""
    size = game.batch_size()
    batch = _rows(game, size)
    forwards = min(PLAIN_FORWARDS, 2**game.n)

    def plain() -> None:
        with torch.inference_mode(), strict_float32():
            for _ in range(0, forwards, size):
                game.model_inputs.call(game.model, *batch)

    return there.seconds(plain) * 2**game.n / (-(-forwards // size) * size)


def _rows(game: MaskedModel, count: int) -> tuple[Tensor, dict[str, Tensor]]:
    """A ready batch of the input, in the memory layout that the engine takes."""
    rows = torch.zeros(count, dtype=torch.int64, device=game.device)
    source = game.source[rows]
    return channels_last(source) if game.images_last else source, {
        name: value[rows] for name, value in game.model_inputs.beside.items()
    }
