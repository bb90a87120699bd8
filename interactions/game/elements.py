"""The elements of games that are masked, inputs or outputs of a layer, and the baseline in their place."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from harsanyi.interactions.game.baselines import Baseline
from harsanyi.interactions.game.checks import require_fit
from harsanyi.interactions.game.forward import channels_last
from harsanyi.interactions.game.players import Players


@dataclass(frozen=True)
class Elements:
    """The elements of all games with their players.

    Attributes:
        values: `(games, ...)`, of unmasked inputs.
        baseline: in place of an absent player, with an axis of games of length 1 or that of the values.
        players: the owner of each element.
        by_product: whether masking is a product with 0 and 1, which is faster than a choice.
    """

    values: Tensor
    baseline: Tensor
    players: Players
    by_product: bool

    @classmethod
    def of(cls, values: Tensor, baseline: Baseline, players: Players, *, finite: bool) -> "Elements":
        """The elements with the baseline that follows from them; a ValueError where players do not fit.

        Args:
            values: of unmasked inputs.
            baseline: takes them; it may write into what it takes.
            players: the owner of each element.
            finite: whether the values are known to be finite.

        Returns:
            The elements with their baseline.
        """
        filled = require_fit(baseline(_known(values)), players, values)
        return cls(values, filled, players, finite and values.is_floating_point() and not filled.any())

    def rows(
        self,
        games: Int64[Tensor, " pairs"],
        coalitions: Bool[Tensor, "pairs players"],
        *,
        images_last: bool,
    ) -> Tensor:
        """The masked elements of pairs (game, coalition).

        Args:
            games: the game of each pair.
            coalitions: the coalition of each pair.
            images_last: whether to put the channels of images last in memory.

        Returns:
            `(pairs, ...)`, a new tensor.
        """
        elements = _rows(self.values, games)
        if not images_last:
            return self.masked(elements, games, coalitions)
        return channels_last(self.masked(channels_last(elements), games, coalitions))

    def masked(self, elements: Tensor, games: Tensor, coalitions: Tensor) -> Tensor:
        """Elements of present players and of the background stay; the others get the baseline.

        Args:
            elements: one row a pair, or one row that broadcasts.
            games: the game of each pair.
            coalitions: the coalition of each pair.

        Returns:
            `(pairs, ...)`, a new tensor.
        """
        keep = self.players.keep(games, coalitions, elements.ndim)
        if self.by_product:
            return elements * keep  # equal to torch.where for finite numbers, and faster
        per_game = len(self.baseline) == len(self.values)
        return torch.where(keep, elements, _rows(self.baseline, games) if per_game else self.baseline)


def _known(values: Tensor) -> Tensor:
    """A copy of elements, with the mean of the others in place of games whose elements are NaN.

    So the baseline of a game does not depend on another game that has none.
    """
    unknown = values.isnan().flatten(1).any(1) if values.is_floating_point() else None
    known = values.clone()
    if unknown is not None and unknown.any() and not unknown.all():
        known[unknown] = values[~unknown].mean(0)
    return known


def one_game(game: int, pairs: int, device: torch.device) -> Int64[Tensor, " pairs"]:
    """The games of pairs that are all of one game: a single number in memory, by which `_rows` knows them.

    Args:
        game: its number.
        pairs: how many.
        device: of the result.

    Returns:
        `(pairs,)`, an expanded tensor.
    """
    return torch.full((1,), game, device=device).expand(pairs)


def _rows(tensor: Tensor, games: Tensor) -> Tensor:
    """The rows of some games; one row, which broadcasts, where all are one game.

    Strides tell, and not values: to read these back a GPU would have to finish all work before.
    """
    return tensor[games[:1]] if len(games) == 1 or games.stride(0) == 0 else tensor[games]
