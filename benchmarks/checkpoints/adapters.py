"""What checkpoints with adapters could share, counted: python -m benchmarks.checkpoints.adapters

Adapters y = Wx + B(Ax) of rank 8 at the queries and the values of every layer, as LoRA has them. Two
checkpoints have the same W and other A and B: as layers of their own, or merged into W + BA. Multiply-adds of
one game in all coalitions, moves counted as the plans count them, and the share of them in

- the steps that are shared: those before the first step which differs (`beginnings.common_steps`);
- all steps with the same weights on the same activations, in any order: what could be shared to the bit;
- linear layers with the same weights on other activations, whose products are not the same.
"""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, fx, nn

from benchmarks.checkpoints.games import WORDS, word_players
from benchmarks.checkpoints.work import first_own_step, traced_of, work
from benchmarks.masked_images import grid
from benchmarks.tables import Rows, show
from harsanyi.interactions import MaskedModel, Players
from harsanyi.interactions.plans.dense import dense_plan
from harsanyi.interactions.plans.graph.beginnings import common_steps, equal_nodes
from harsanyi.interactions.plans.graph.traced import Traced
from harsanyi.interactions.plans.plan import Plan
from harsanyi.interactions.plans.regions.tables import tables_plan

RANK, ADAPTED = 8, ("query", "value", "q_proj", "v_proj")
BASE: dict[str, Any] = {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536}


class Adapted(nn.Module):
    """A linear layer with an adapter beside it."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Linear(base.in_features, RANK, bias=False)
        self.up = nn.Linear(RANK, base.out_features, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        product: Tensor = self.base(x) + self.up(self.down(x))
        return product

    def merged(self) -> nn.Linear:
        """One linear layer with the adapter in its weights."""
        layer = deepcopy(self.base)
        with torch.no_grad():
            layer.weight += self.up.weight @ self.down.weight
        return layer


def adapted(network: nn.Module, seed: int, *, merged: bool) -> nn.Module:
    """A copy of a network with adapters at the queries and values of all layers."""
    torch.manual_seed(seed)
    other = deepcopy(network)
    for module in list(other.modules()):
        for name in ADAPTED:
            layer = getattr(module, name, None)
            if isinstance(layer, nn.Linear):
                adapter = Adapted(layer)
                setattr(module, name, adapter.merged() if merged else adapter)
    return other.eval()


def networks() -> dict[str, tuple[nn.Module, Tensor, Players, float]]:
    """The networks with random weights; an input, players and a baseline for each."""
    from transformers import BertConfig, BertForSequenceClassification, ViTConfig, ViTForImageClassification

    words = torch.randint(5, 1000, (1, 2 * WORDS + 2), generator=torch.Generator().manual_seed(0))
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    bert = BertForSequenceClassification(BertConfig(num_hidden_layers=6, **BASE))
    vit = ViTForImageClassification(ViTConfig(num_hidden_layers=12, **BASE))
    return {
        f"BERT, 6 layers, {words.shape[1]} tokens": (bert, words, word_players(), 3.0),
        "ViT-small, 12 layers, 224²": (vit, images, grid(2, 4, 224), 0.0),
    }


def counted(first: Plan, second: Plan) -> dict[str, object]:
    """The shares of the work."""
    one, other, costs = traced_of(first), traced_of(second), work(first)
    whole, equal = sum(costs.values()), costs.keys() & equal_nodes(one, other).keys()
    shared = one.steps[: first_own_step(first, common_steps(one, other))]
    partners = dict(zip(one.steps, other.steps, strict=True))
    others = [
        step
        for step in costs.keys() - equal
        if step.target is torch.ops.aten.linear.default
        and _have_equal_weights((one, step), (other, partners[step]))
    ]
    parts = {"shared": shared, "equal": equal, "same weights, other activations": others}
    shares: dict[str, object] = {
        name: f"{sum(costs[step] for step in steps) / whole:.4f}" for name, steps in parts.items()
    }
    return {"multiply-adds": f"{whole:.3g}"} | shares


def _have_equal_weights(*layers: tuple[Traced, fx.Node]) -> bool:
    """Whether two linear layers have the same constant weights."""
    nodes: Any = [(traced, layer.args[1]) for traced, layer in layers]
    one, other = (traced.constants.get(node) for traced, node in nodes)
    return isinstance(one, Tensor) and isinstance(other, Tensor) and torch.equal(one, other)


def rows() -> Rows:
    """A row for each network, its adapters apart and merged, and each plan."""
    for title, (network, inputs, players, baseline) in networks().items():
        for merged in (False, True):
            games = [
                MaskedModel(
                    adapted(network, seed, merged=merged), inputs, players, labels=[0], baseline=baseline
                )
                for seed in (1, 2)
            ]
            for name, plan_of in (("dense", dense_plan), ("tables", tables_plan)):
                shares = counted(*(plan_of(game) for game in games))
                yield (
                    {"network": title, "n": players.n, "adapters": "merged" if merged else "apart"}
                    | {"plan": name}
                    | shares
                )


if __name__ == "__main__":
    show(rows())
