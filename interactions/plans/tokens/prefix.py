"""Causal language models: every prefix of the masked inputs read once, with its key-value cache."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Bool, Int, Int64
from torch import Tensor

from harsanyi.interactions.game.forward import logits_of
from harsanyi.interactions.game.game import Game
from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.game.players import BACKGROUND
from harsanyi.interactions.machine.memory import gibibytes, plan_memory
from harsanyi.interactions.plans.plan import (
    Block,
    NotApplicable,
    Plan,
    agree,
    probes,
    refusing_what_fails,
    require_agreement,
)
from harsanyi.interactions.plans.tokens.caches import read_behind, rows_taken, token_bytes
from harsanyi.interactions.plans.tokens.games import MASKED_TOKENS, token_game, token_inputs

# Tokens of a forward at least: all weights are read for it, however few tokens there are.
TOKENS = 1024


@dataclass(frozen=True)
class Segment:
    """The tokens from one player's first to before the next one's first: tokens[start:end].

    Attributes:
        player: whose first token begins it; None before the first player.
        prefixes: how many different inputs tokens[:end] there are, 2 ** players seen.
    """

    start: int
    end: int
    player: int | None
    prefixes: int


def segments(owner: Int[Tensor, " tokens"]) -> tuple[Segment, ...]:
    """The segments of a text. What stands in one depends on the players seen so far, and on nothing later.

    >>> for one in segments(torch.tensor([-1, 1, 0, 1, -1])):
    ...     print(one)
    Segment(start=0, end=1, player=None, prefixes=1)
    Segment(start=1, end=2, player=1, prefixes=2)
    Segment(start=2, end=5, player=0, prefixes=4)
    """
    first = {player: owner.tolist().index(player) for player in owner.unique().tolist()}
    starts = sorted((start, player) for player, start in first.items() if player != BACKGROUND)
    seen: list[tuple[int, int | None]] = [*([] if starts[0][0] == 0 else [(0, None)]), *starts]
    return tuple(
        Segment(start, end, player, 2 ** sum(other is not None for _, other in seen[: number + 1]))
        for number, ((start, player), (end, _)) in enumerate(pairwise([*seen, (len(owner), None)]))
    )


@dataclass(frozen=True)
class PrefixPlan(Plan):
    """The outputs at the last position, from each different prefix once.

    Coalitions that agree on the players seen so far share the prefix, so that level k of the trie has 2**k
    nodes. It is gone through depth first in blocks of nodes, whose caches live until what is below is done.

    Attributes:
        memory: bytes that caches may take at once (and one layer of a block, while it grows).
        token_bytes: what one token of one row takes in a cache.
    """

    memory: int
    token_bytes: int
    name = "prefix"

    def describe(self) -> str:
        """What is saved, in words."""
        return f"every prefix is read once: {self.share:.1%} of the tokens"

    @property
    def share(self) -> float:
        """Σ prefixes · tokens over the segments, as a share of 2**n · tokens; mean over the games.

        The output layer is left out: it reads one position a coalition here, all of them in the dense plan.
        """
        read = [sum(s.prefixes * (s.end - s.start) for s in steps) for steps in _distinct(self.game)]
        return sum(read) / (len(read) * 2**self.game.n * self.game.source.shape[1])

    def outputs(
        self,
        games: Int64[Tensor, " pairs"],
        coalitions: Bool[Tensor, "pairs players"],
        *,
        batch_size: int | None = None,
    ) -> Iterator[Block]:
        """Numbers of pairs, and their outputs `(some, 1, vocabulary)` at the last position.

        As `Plan.outputs`.
        """
        masks, owners = coalitions.cpu(), games.cpu()
        length = self.game.source.shape[1]
        tokens = batch_size * length if batch_size else max(self.game.batch_size() * length, TOKENS)
        for game in owners.unique().tolist():
            steps = _segments_of(self.game, game)
            # Nodes of a block, if the blocks of all levels are to fit together.
            fitting = self.memory // _path_bytes(steps, self.token_bytes)
            sizes = [max(1, min(fitting, tokens // (step.end - step.start))) for step in steps]
            pairs = (owners == game).nonzero()[:, 0]
            walk = _Walk(self, game, steps, sizes, masks)
            yield from walk.below(0, None, pairs, torch.zeros_like(pairs))


def prefix_plan(game: Game, *, memory: int | None = None) -> PrefixPlan:
    """The plan for a game of a causal language model, scored at the last position.

    With the players' first tokens in text order, tokens before the next player's first have only 2**k
    different contents and keys and values, k players having been seen. Players may own several tokens, and
    these may interleave. Up to rounding the outputs are the dense forward's.

    Args:
        game: a `MaskedModel` of token ids (or attention masks), the model one of transformers or like it:
            called with input_ids, past_key_values, use_cache.
        memory: bytes that caches may take at once, 2 GiB on a CPU, a quarter of a GPU's by default.

    Raises:
        NotApplicable: if the game is none of these, the score reads other positions, later tokens change
            earlier logits, the outputs with a cache are not those without, or the caches of one path through
            the trie exceed the memory. What the model does is tried on up to three of the games.

    >>> net = torch.nn.Sequential(torch.nn.Embedding(50, 4), torch.nn.Flatten(), torch.nn.Linear(24, 3))
    >>> from harsanyi.interactions import MaskedModel, Players
    >>> game = MaskedModel(net, torch.arange(6)[None], Players(torch.arange(6), 6, axis=0), labels=[1])
    >>> prefix_plan(game)
    Traceback (most recent call last):
    harsanyi.interactions.plans.plan.NotApplicable: the model takes no input_ids, past_key_values, use_cache
    """
    game = token_game(game, MASKED_TOKENS, "past_key_values", "use_cache")
    if memory is None:
        memory = plan_memory(game.device)
    with torch.inference_mode(), game.prepared():
        _require_last_position(game)
        for one in probes(game)[0].unique().tolist():
            _require_causal(game, one)
        plan = PrefixPlan(game, memory, token_bytes(game))
        _require_memory(plan)
        require_agreement(plan, lambda outputs: outputs[:, -1:])
    return plan


@dataclass(frozen=True)
class _Walk:
    """One game's trie, gone through."""

    plan: PrefixPlan
    game: int
    steps: tuple[Segment, ...]
    sizes: list[int]
    masks: Bool[Tensor, "pairs players"]

    def below(self, level: int, cache: Any, pairs: Tensor, nodes: Tensor) -> Iterator[Block]:
        """The outputs below a block of nodes, `nodes[i]` being that of pair `pairs[i]`."""
        player = self.steps[level].player
        children = nodes if player is None else 2 * nodes + self.masks[pairs, player]
        numbers, child = children.unique(return_inverse=True)
        parents = numbers if player is None else numbers // 2
        for start in range(0, len(numbers), self.sizes[level]):
            block = parents[start : start + self.sizes[level]]
            inside = (child >= start) & (child < start + len(block))
            mine, its = pairs[inside], child[inside] - start
            # Any pair below a node has the node's tokens.
            some = torch.empty_like(block).scatter_(0, its, mine)
            grown, logits = self._read(level, cache, block, self.masks[some])
            if level + 1 == len(self.steps):
                device = self.plan.game.device
                yield mine.to(device), logits[its.to(device)]
            else:
                yield from self.below(level + 1, grown, mine, its)
            # Not to be kept while the next block grows.
            del grown, logits

    def _read(self, level: int, cache: Any, parents: Tensor, masks: Tensor) -> tuple[Any, Tensor]:
        """The segment's tokens behind their parents' caches: caches that hold them too, and logits."""
        game, step = self.plan.game, self.steps[level]
        games = torch.full((len(parents),), self.game, device=game.device)
        inputs = token_inputs(game, games, masks.to(game.device))
        past = rows_taken(cache, parents.to(game.device))
        scored = level + 1 == len(self.steps)
        return read_behind(past, game.model, inputs, step.start, step.end, scored=scored)


def _segments_of(game: MaskedModel, one: int) -> tuple[Segment, ...]:
    """The segments of one game's text."""
    owner = game.players.owner[one] if game.players.per_game else game.players.owner
    return segments(owner.expand(game.source.shape[1]))


def _distinct(game: MaskedModel) -> list[tuple[Segment, ...]]:
    """The segments of each game, or of all where they share their players."""
    return [_segments_of(game, one) for one in range(game.games if game.players.per_game else 1)]


def _path_bytes(steps: tuple[Segment, ...], token_bytes: int) -> int:
    """The caches of one node of each level."""
    return token_bytes * sum(step.end for step in steps)


def _require_memory(plan: PrefixPlan) -> None:
    """Refuse texts whose caches exceed the memory with a node at a time."""
    needed = max(_path_bytes(steps, plan.token_bytes) for steps in _distinct(plan.game))
    if needed > plan.memory:
        raise NotApplicable(
            f"the caches of one path through the trie take {gibibytes(needed)}, and "
            f"{gibibytes(plan.memory)} are allowed"
        )


def _require_last_position(game: MaskedModel) -> None:
    """Refuse outputs that are not those of every token, and scores that read more than the last."""
    games, coalitions = probes(game)
    outputs = logits_of(game.model(**token_inputs(game, games, coalitions)))
    if outputs.ndim != 3 or outputs.shape[1] != game.source.shape[1]:
        raise NotApplicable(f"outputs of shape {tuple(outputs.shape)} are not (batch, tokens, vocabulary)")
    if not outputs[:, -1].isfinite().all():
        raise NotApplicable("its outputs are not finite")
    with refusing_what_fails():
        same = agree(game.scored(outputs[:, -1:], games), game.scored(outputs, games))
    if not same:
        raise NotApplicable("the score reads outputs at other positions than the last")


def _require_causal(game: MaskedModel, one: int) -> None:
    """Refuse a model whose logits before a cut change with the tokens behind it; padding's may."""
    games = torch.tensor([one], device=game.device)
    inputs = token_inputs(game, games, torch.ones(1, game.n, dtype=torch.bool, device=game.device))
    before = logits_of(game.model(**inputs))
    attended = inputs.get("attention_mask", torch.ones_like(inputs["input_ids"])) != 0
    for cut in [step.start for step in _segments_of(game, one) if step.start]:
        changed = inputs["input_ids"].clone()
        changed[:, cut:] = (changed[:, cut:] == 0).to(changed.dtype)  # 0 and 1 are tokens everywhere
        after = logits_of(game.model(**inputs | {"input_ids": changed}))
        told = attended[:, :cut]
        if not agree(after[:, :cut][told], before[:, :cut][told]):
            raise NotApplicable("it is not causal: tokens change the logits of earlier positions")
