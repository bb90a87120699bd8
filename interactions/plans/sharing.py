"""How much of a network's work tables would share, seen from a few masked inputs before it is traced.

An input without any player stands beside inputs with one player each. A place of an activation that differs
depends on that player. So each layer shows how many ways each of its places can be, which is how many rows
its table would have.
"""

from contextlib import ExitStack

import torch
from torch import Tensor, nn

from harsanyi.failing import is_out_of_memory
from harsanyi.interactions.game.elements import one_game
from harsanyi.interactions.game.forward import hooked, modules_of, takes_hooks
from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.game.work import channel_axis, first_tensor, numbers_in_weights


def share_of_rows(game: MaskedModel) -> float:
    """Multiply-adds that are left where each place is computed once for each way it can be, as a share.

    It is a forecast: one input is asked, a function between modules is not seen, and a place that has the
    same bits with and without a player counts as one that does not depend on it.

    Args:
        game: of which the first input is asked; it takes n + 1 forwards.

    Returns:
        A share of the multiply-adds of all 2ⁿ forwards, between 0 and 1; 1 where memory runs out.

    >>> from harsanyi.interactions import Players
    >>> net = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    >>> game = MaskedModel(net, torch.ones(1, 1, 4, 4), Players.grid(4, 4, 2, 2), labels=[0])
    >>> share_of_rows(game) < 1
    True
    """
    multiplied, left = 0.0, 0.0

    def see(module: nn.Module, args: tuple[object, ...], output: object) -> None:
        nonlocal multiplied, left
        weights, source, result = numbers_in_weights(module), first_tensor(args), first_tensor(output)
        if not weights or source is None or result is None or len(source) != len(result):
            return
        places = result[0].numel() // result.shape[channel_axis(module)]
        share = _rows(source, channel_axis(module), game.n)
        multiplied += places * weights
        left += share * places * weights

    coalitions = torch.cat([torch.zeros(1, game.n), torch.eye(game.n)]).bool().to(game.device)
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(game.prepared())
        for module in modules_of(game.model):
            if takes_hooks(module):
                stack.enter_context(hooked(module, see))
        try:
            game.forward(one_game(game.first, len(coalitions), game.device), coalitions)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return 1.0
    return left / multiplied if multiplied else 1.0


def _rows(source: Tensor, channels: int, n: int) -> float:
    """Ways that the places of an activation can be, as a share of 2ⁿ each.

    Args:
        source: `(1 + n, …)`: without any player, and with each.
        channels: the axis of the channels of a place.
        n: players.
    """
    if source.ndim < 3 or len(source) != 1 + n or not source.is_floating_point():
        return 1.0
    # Bits are compared: through squeeze and excitation a player of far away changes the last ones alone.
    dependent = (source[1:] != source[:1]).any(channels).sum(0)
    return float((2.0 ** (dependent.double() - n)).mean())
