"""Plan "drop": for encoders whose masked tokens get no attention, the forwards of shorter inputs.

A token with an attention mask of 0 changes no other token. So the plan leaves it out of the input, and gives
the other tokens the position ids that they had. The outputs are those of the dense plan up to rounding.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from harsanyi.interactions.effects.transforms import coalition_masks
from harsanyi.interactions.game.elements import one_game
from harsanyi.interactions.game.game import Game
from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.plans.plan import (
    Block,
    NotApplicable,
    Plan,
    calling_the_network,
    require_agreement,
)
from harsanyi.interactions.plans.tokens.games import token_game, token_inputs

# Coalitions whose tokens are counted in one go.
COUNT_BATCH = 2**16


@dataclass(frozen=True)
class DropPlan(Plan):
    """The outputs from the attended tokens only, at their own positions.

    The first token that an input attends to always stays, since classifiers read it. A coalition that attends
    to no token keeps all tokens. A token that stays without need changes nothing: it keeps its attention mask
    of 0.

    Attributes:
        positions: position ids `(games, tokens)` of the dense forward.
    """

    positions: Int64[Tensor, "games tokens"]
    name = "drop"

    def describe(self) -> str:
        """The saved work, in words."""
        return f"unattended tokens are left out: {self.share:.1%} of the tokens"

    @property
    def share(self) -> float:
        """Mean number of tokens that stay, as a share of all; over all coalitions of all games."""
        masks = coalition_masks(self.game.n, device=self.game.device)
        counts = [self._counts(game, masks).double().mean() for game in range(self.game.games)]
        return float(torch.stack(counts).mean()) / self.positions.shape[1]

    def outputs(
        self,
        game: int,
        coalitions: Bool[Tensor, "coalitions players"],
        *,
        batch_size: int | None = None,
    ) -> Iterator[Block]:
        """As `Plan.outputs`; coalitions with equally many tokens come together."""
        counts, order = self._counts(game, coalitions).sort(stable=True)
        rows = (batch_size or self.game.batch_size()) * self.positions.shape[1]
        # The only wait for the device: the host must know the sizes of the batches.
        lengths, sizes = counts.cpu().unique_consecutive(return_counts=True)
        together = order.split(sizes.tolist())
        for count, numbers in zip(lengths.tolist(), together, strict=True):
            for batch in numbers.split(max(1, rows // count)):
                yield batch, self._read(game, coalitions[batch], count)

    def _read(self, game: int, coalitions: Tensor, count: int) -> Tensor:
        """The outputs of coalitions with `count` tokens each."""
        games = one_game(game, len(coalitions), coalitions.device)
        inputs = token_inputs(self.game, games, coalitions) | {"position_ids": self.positions[games]}
        leaving = (~self._staying(game, coalitions)).byte()
        places = leaving.sort(stable=True).indices[
            :, :count
        ]  # those that stay, in order, whose number is known
        shorter = {name: value.gather(1, places) for name, value in inputs.items()}
        with calling_the_network():
            return self.game.read(self.game.model(**shorter))

    def _staying(self, game: int, coalitions: Tensor) -> Bool[Tensor, "coalitions tokens"]:
        """Which tokens stay."""
        games = one_game(game, len(coalitions), coalitions.device)
        attended = token_inputs(self.game, games, coalitions)["attention_mask"] != 0
        # Of the attention mask with all players.
        first = self.game.source[games[:1]].ne(0).int().argmax(1, keepdim=True).expand(len(coalitions), 1)
        staying = attended.scatter(1, first, True)
        return staying | ~attended.any(1, keepdim=True)

    def _counts(self, game: int, coalitions: Tensor) -> Int64[Tensor, " coalitions"]:
        """How many tokens stay."""
        return torch.cat([self._staying(game, part).sum(1) for part in coalitions.split(COUNT_BATCH)])


def drop_plan(game: Game, *, memory: int | None = None) -> DropPlan:
    """The plan "drop" for an encoder or classifier whose masked tokens get no attention.

    Such a game is `MaskedModel(…, masked="attention_mask", baseline="zeros")`: the token ids stay, and the
    tokens of absent players have an attention mask of 0. No other token sees them. Padding is left out in the
    same way.

    Args:
        game: its model takes input_ids, attention_mask and position_ids. Position ids are the inputs' own,
            or the place of the token, or as RoBERTa counts them, whichever gives the dense outputs.
        memory: ignored; the plan needs none.

    Raises:
        NotApplicable: if the game is another, or the outputs are not those of the dense forward: the model
            reads tokens that have no attention, or gives an output for each token. This is tried on four
            coalitions of up to three games.

    >>> class Attended(torch.nn.Embedding):
    ...     def forward(self, input_ids, attention_mask, position_ids=None):
    ...         places = torch.arange(input_ids.shape[1]) if position_ids is None else position_ids
    ...         seen = super().forward(input_ids) * (1 + places)[..., None] * attention_mask[..., None]
    ...         return seen.sum(1)
    >>> from harsanyi.interactions import MaskedModel, Players
    >>> inputs = {"input_ids": torch.arange(6)[None], "attention_mask": torch.ones(1, 6).long()}
    >>> players = Players(torch.tensor([-1, 0, 1, 2, 2, -1]), 3, axis=0)
    >>> game = MaskedModel(Attended(6, 3), inputs, players, labels=[1], masked="attention_mask")
    >>> round(drop_plan(game).share, 3)  # (2 + 4 / 2) / 6
    0.667
    """
    game = token_game(game, ("attention_mask",), "attention_mask", "position_ids")
    if game.baseline.any():
        raise NotApplicable('absent players are attended to: mask the attention with baseline="zeros"')
    reason = None
    with torch.inference_mode(), game.prepared():
        for positions in _positions(game):
            plan = DropPlan(game, positions)
            try:
                require_agreement(plan)
            except NotApplicable as refusal:
                reason = reason or refusal
            else:
                return plan
    assert reason is not None
    raise reason


def _positions(game: MaskedModel) -> Iterator[Int64[Tensor, "games tokens"]]:
    """The candidates for the position ids of the dense forward."""
    inputs: Any = game.inputs
    if "position_ids" in inputs:
        yield inputs["position_ids"]
        return
    ids = inputs["input_ids"]
    yield torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    padding = getattr(getattr(game.model, "config", None), "pad_token_id", None)
    if padding is not None:
        # RoBERTa counts from the padding id + 1, and gives padding the padding id.
        is_text = ids != padding
        yield is_text.cumsum(1) * is_text + padding
