"""Plan "prefix": for causal language models, every different prefix of the masked inputs is read once.

Masked inputs that agree on the players seen so far share a prefix. So the prefixes form a trie, and each node
is read behind the key-value cache of its parent. `prefix_plan` takes a game that is scored at the last
position, and the outputs are those of the dense plan up to rounding.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from harsanyi.interactions.game.elements import one_game
from harsanyi.interactions.game.forward import logits_of
from harsanyi.interactions.game.game import Game
from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.machine.memory import gibibytes, plan_memory
from harsanyi.interactions.plans.plan import (
    Block,
    NotApplicable,
    Plan,
    agree,
    calling_the_network,
    probes,
    require_agreement,
)
from harsanyi.interactions.plans.tokens.caches import read_behind, select_rows, token_bytes
from harsanyi.interactions.plans.tokens.games import MASKED_TOKENS, token_game, token_inputs
from harsanyi.interactions.plans.tokens.trie import Segment, Trie, segments

# The fewest tokens in a forward: every forward reads all weights, however few tokens it has.
MIN_TOKENS = 1024


@dataclass(frozen=True)
class PrefixPlan(Plan):
    """The outputs at the last position, from each different prefix once.

    Coalitions that agree on the players seen so far share the prefix, so level k of the trie has 2**k nodes.
    The walk goes depth first in blocks of nodes. The caches of a block live until all below it is done.

    Attributes:
        memory: bytes for all caches that live at the same time (and one layer of a block, while it grows).
        token_bytes: of one token of one row in a cache.
    """

    memory: int
    token_bytes: int
    name = "prefix"

    def describe(self) -> str:
        """The saved work, in words."""
        return f"every prefix is read once: {self.share:.1%} of the tokens"

    @property
    def share(self) -> float:
        """Σ prefixes · tokens over the segments, as a share of 2**n · tokens; mean over the games.

        The output layer is not counted: it reads one position a coalition here, and all in the dense plan.
        """
        tokens = [
            sum(segment.prefixes * (segment.end - segment.start) for segment in text)
            for text in _distinct(self.game)
        ]
        return sum(tokens) / (len(tokens) * 2**self.game.n * self.game.source.shape[1])

    def outputs(
        self,
        game: int,
        coalitions: Bool[Tensor, "coalitions players"],
        *,
        batch_size: int | None = None,
    ) -> Iterator[Block]:
        """As `Plan.outputs`; outputs are `(block, 1, vocabulary)`, at the last position."""
        length = self.game.source.shape[1]
        tokens = batch_size * length if batch_size else max(self.game.batch_size() * length, MIN_TOKENS)
        text = _segments_of(self.game, game)
        # Nodes of a block, so that one block of every level fits the memory.
        fitting = self.memory // _path_bytes(text, self.token_bytes)
        sizes = [max(1, min(fitting, tokens // (segment.end - segment.start))) for segment in text]
        trie = Trie.of(text, coalitions)
        walk = _Walk(self, game, text, sizes, trie, coalitions)
        yield from walk.below(0, None, range(trie.nodes(0)))


def prefix_plan(game: Game, *, memory: int | None = None) -> PrefixPlan:
    """The plan "prefix" for a game of a causal language model, scored at the last position.

    Up to the first token of player k + 1 in text order there are only 2**k different prefixes, each with its
    own keys and values. Players may own several tokens, and the tokens of players may interleave. The outputs
    are those of the dense forward up to rounding.

    Args:
        game: a `MaskedModel` of token ids or attention masks. Its model takes input_ids, past_key_values and
            use_cache, as those of transformers do.
        memory: bytes for caches; by default 2 GiB on a CPU and a quarter of a GPU's memory.

    Raises:
        NotApplicable: if the game is another, the score reads other positions, later tokens change earlier
            logits, outputs with a cache differ from those without, or the caches of one path through the trie
            exceed the memory. The model is tried on up to three of the games.

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
        for number in probes(game)[0]:
            _require_causal(game, number)
        plan = PrefixPlan(game, memory, token_bytes(game))
        _require_memory(plan)
        require_agreement(plan, lambda outputs: outputs[:, -1:])
    return plan


@dataclass(frozen=True)
class _Walk:
    """A walk through the trie of one game.

    Attributes:
        plan: of all games.
        game: the number of this one.
        segments: of its text, one for each level of the trie.
        sizes: nodes of a block, for each level.
        trie: of the coalitions.
        coalitions: of the game.
    """

    plan: PrefixPlan
    game: int
    segments: tuple[Segment, ...]
    sizes: list[int]
    trie: Trie
    coalitions: Bool[Tensor, "coalitions players"]

    def below(self, level: int, cache: Any, nodes: range) -> Iterator[Block]:
        """The outputs of all coalitions below the nodes of a level that have their parents in one block.

        Args:
            level: of the nodes.
            cache: of the block of their parents; None above the first level.
            nodes: of this level.
        """
        first_parent = self.trie.parent(level, nodes.start)
        for start in range(nodes.start, nodes.stop, self.sizes[level]):
            block = range(start, min(start + self.sizes[level], nodes.stop))
            grown, logits = self._read(level, cache, block, first_parent)
            if level + 1 == len(self.segments):
                numbers, node = self.trie.coalitions(block)
                yield numbers, logits[node - block.start]
            else:
                yield from self.below(level + 1, grown, self.trie.children(level, block))
            # Free the memory before the next block grows.
            del grown, logits

    def _read(self, level: int, cache: Any, block: range, first_parent: int) -> tuple[Any, Tensor]:
        """Read a segment behind the caches of the parents; gives the grown caches, and logits."""
        game, segment = self.plan.game, self.segments[level]
        games = one_game(self.game, len(block), game.device)
        inputs = token_inputs(game, games, self.coalitions[self.trie.examples(level, block)])
        past = select_rows(cache, self.trie.parents(level, block) - first_parent)
        scored = level + 1 == len(self.segments)
        return read_behind(past, game.model, inputs, segment.start, segment.end, scored=scored)


def _segments_of(game: MaskedModel, number: int) -> tuple[Segment, ...]:
    """The segments of the text of one game, by its number."""
    owner = game.players.owner[number] if game.players.per_game else game.players.owner
    return segments(owner.expand(game.source.shape[1]))


def _distinct(game: MaskedModel) -> list[tuple[Segment, ...]]:
    """The segments of each game, or of all where they share their players."""
    return [_segments_of(game, number) for number in range(game.games if game.players.per_game else 1)]


def _path_bytes(text: tuple[Segment, ...], token_bytes: int) -> int:
    """Bytes of the caches of one node of each level."""
    return token_bytes * sum(segment.end for segment in text)


def _require_memory(plan: PrefixPlan) -> None:
    """Refuse texts whose caches exceed the memory even with one node of each level."""
    needed = max(_path_bytes(text, plan.token_bytes) for text in _distinct(plan.game))
    if needed > plan.memory:
        raise NotApplicable(
            f"the caches of one path through the trie take {gibibytes(needed)}, and "
            f"{gibibytes(plan.memory)} are allowed"
        )


def _require_last_position(game: MaskedModel) -> None:
    """Refuse outputs that are not one a token, and scores that read others than the last."""
    tried, four = probes(game)
    games = torch.tensor(tried, device=game.device).repeat_interleave(len(four))
    coalitions = four.repeat(len(tried), 1)
    outputs = logits_of(game.model(**token_inputs(game, games, coalitions)))
    if outputs.ndim != 3 or outputs.shape[1] != game.source.shape[1]:
        raise NotApplicable(f"outputs of shape {tuple(outputs.shape)} are not (batch, tokens, vocabulary)")
    if not outputs[:, -1].isfinite().all():
        raise NotApplicable("its outputs are not finite")
    with calling_the_network():
        same = agree(game.scored(outputs[:, -1:], games), game.scored(outputs, games))
    if not same:
        raise NotApplicable("the score reads outputs at other positions than the last")


def _require_causal(game: MaskedModel, number: int) -> None:
    """Refuse a model whose logits before a cut change with the tokens after it; those of padding may."""
    games = torch.tensor([number], device=game.device)
    inputs = token_inputs(game, games, torch.ones(1, game.n, dtype=torch.bool, device=game.device))
    before = logits_of(game.model(**inputs))
    attended = inputs.get("attention_mask", torch.ones_like(inputs["input_ids"])) != 0
    for cut in [segment.start for segment in _segments_of(game, number) if segment.start]:
        changed = inputs["input_ids"].clone()
        changed[:, cut:] = (changed[:, cut:] == 0).to(changed.dtype)  # 0 and 1 are in every vocabulary
        after = logits_of(game.model(**inputs | {"input_ids": changed}))
        is_text = attended[:, :cut]
        if not agree(after[:, :cut][is_text], before[:, :cut][is_text]):
            raise NotApplicable("it is not causal: tokens change the logits of earlier positions")
