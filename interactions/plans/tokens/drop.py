"""Encoders where a masked token is not attended to: it need not be in the input at all."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from harsanyi.interactions.effects.transforms import coalition_masks
from harsanyi.interactions.game.game import Game
from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.plans.plan import Block, NotApplicable, Plan, require_agreement
from harsanyi.interactions.plans.tokens.games import token_game, token_inputs

# Coalitions whose tokens are counted at once.
COUNTED = 2**16


@dataclass(frozen=True)
class DropPlan(Plan):
    """The outputs from the attended tokens alone, at the positions that they had.

    The first token that an input attends to stays in any case, since classifiers read there; so do all
    tokens of a coalition that attends to none. A token that stays without need changes nothing: it keeps its
    attention mask of 0.

    Attributes:
        positions: position ids `(games, tokens)` of the dense forward.
    """

    positions: Int64[Tensor, "games tokens"]
    name = "drop"

    def describe(self) -> str:
        """What is saved, in words."""
        return f"unattended tokens are left out: {self.share:.1%} of the tokens"

    @property
    def share(self) -> float:
        """Mean number of tokens that stay, as a share of all; over all coalitions of all games."""
        masks = coalition_masks(self.game.n, device=self.game.device)
        tokens = self.positions.shape[1]
        kept = 0
        for game in range(self.game.games):
            kept += int(self._counts(torch.full((len(masks),), game, device=masks.device), masks).sum())
        return kept / (self.game.games * len(masks) * tokens)

    def outputs(
        self,
        games: Int64[Tensor, " pairs"],
        coalitions: Bool[Tensor, "pairs players"],
        *,
        batch_size: int | None = None,
    ) -> Iterator[Block]:
        """Numbers of pairs, and their outputs; those with equally many tokens together.

        As `Plan.outputs`.
        """
        counts = self._counts(games, coalitions)
        rows = (batch_size or self.game.batch_size()) * self.positions.shape[1]
        for count in counts.unique().tolist():
            for pairs in (counts == count).nonzero()[:, 0].split(max(1, rows // count)):
                yield pairs, self._read(games[pairs], coalitions[pairs], count)

    def _read(self, games: Tensor, coalitions: Tensor, count: int) -> Tensor:
        """The outputs of pairs with `count` tokens each."""
        inputs = token_inputs(self.game, games, coalitions) | {"position_ids": self.positions[games]}
        kept = self._kept(games, coalitions).nonzero()[:, 1].view(len(games), count)
        return self.game.read(
            self.game.model(**{name: value.gather(1, kept) for name, value in inputs.items()})
        )

    def _kept(self, games: Tensor, coalitions: Tensor) -> Bool[Tensor, "pairs tokens"]:
        """Which tokens stay."""
        attended = token_inputs(self.game, games, coalitions)["attention_mask"] != 0
        first = self.game.source[games].ne(0).int().argmax(1)  # of the attention mask with all players
        kept = attended.scatter(1, first[:, None], True)
        return kept | ~attended.any(1, keepdim=True)

    def _counts(self, games: Tensor, coalitions: Tensor) -> Int64[Tensor, " pairs"]:
        """How many tokens stay."""
        parts = zip(games.split(COUNTED), coalitions.split(COUNTED), strict=True)
        return torch.cat([self._kept(*part).sum(1) for part in parts])


def drop_plan(game: Game, *, memory: int | None = None) -> DropPlan:
    """The plan for a game whose masked tokens are not attended to, of an encoder or classifier.

    Such a game is `MaskedModel(…, masked="attention_mask", baseline="zeros")`: the tokens stay what they are,
    and an absent player's have an attention mask of 0. No other token sees them then, and an input without
    them has the same outputs up to rounding, if the rest keep their position ids. Padding goes the same way.

    Args:
        memory: of no account; nothing is kept.
        game: its model takes input_ids, attention_mask and position_ids. Position ids are the inputs' own,
            or the place of the token, or as RoBERTa counts them, whichever gives the dense outputs.

    Raises:
        NotApplicable: if the game is another, or the outputs are not those of the dense forward: the model
            looks at tokens that it does not attend to, or gives an output for each token. This is tried on
            four coalitions of up to three games.

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
    """What the position ids of the dense forward may be."""
    inputs: Any = game.inputs
    if "position_ids" in inputs:
        yield inputs["position_ids"]
        return
    ids = inputs["input_ids"]
    yield torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    padding = getattr(getattr(game.model, "config", None), "pad_token_id", None)
    if padding is not None:
        # RoBERTa counts from behind the padding's number, and gives padding that number.
        word = ids != padding
        yield word.cumsum(1) * word + padding
