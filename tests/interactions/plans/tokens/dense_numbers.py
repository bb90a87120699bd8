"""A plan for tokens beside the dense forward of every coalition, in float64."""

import torch
from torch import Tensor

from harsanyi.interactions import MaskedModel, coalition_masks, evaluate
from harsanyi.interactions.plans.plan import Plan

# Sums in another order, in float64, of log-odds between 0.1 and 1.
EXACT = 1e-11


def all_pairs(game: MaskedModel) -> tuple[Tensor, Tensor]:
    """Every coalition of every game."""
    count = 2**game.n
    return torch.arange(game.games).repeat_interleave(count), coalition_masks(game.n).repeat(game.games, 1)


def require_dense_numbers(game: MaskedModel, plan: Plan, *, min_spread: float, **options) -> None:
    """The plan's table is the dense one; a spread below `min_spread` would mean that no player matters."""
    v = plan.scores(*all_pairs(game), **options).view(game.games, -1)
    torch.testing.assert_close(v, evaluate(game, progress=False), rtol=0, atol=EXACT)
    assert v.std(1).min() > min_spread


def require_rounding_in_float32(game: MaskedModel, plan: Plan) -> None:
    """In float32 the plan's table is the dense one up to rounding."""
    v = plan.scores(*all_pairs(game)).view(game.games, -1)
    # Logits near 0.1 from sums of 32 and 48 terms.
    torch.testing.assert_close(v, evaluate(game, progress=False), rtol=0, atol=1e-5)


def require_any_order(game: MaskedModel, plan: Plan) -> None:
    """Pairs may come in any order, more than once, in batches of any size, and not at all."""
    generator = torch.Generator().manual_seed(0)
    games, which = torch.randint(2, (20,), generator=generator), torch.randint(16, (20,), generator=generator)
    whole = evaluate(game, progress=False)
    for size in (1, 3, 100):
        v = plan.scores(games, coalition_masks(4)[which], batch_size=size)
        torch.testing.assert_close(v, whole[games, which], rtol=0, atol=EXACT)
    assert plan.scores(games[:0], coalition_masks(4)[:0]).shape == (0,)
