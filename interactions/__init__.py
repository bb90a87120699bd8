"""Exact AND and OR interactions of any network, from its output on all 2ⁿ masked inputs."""

from typing import TYPE_CHECKING

import lazy_loader

from harsanyi.interactions.effects.about import About
from harsanyi.interactions.effects.indices import (
    banzhaf_interaction_indices,
    banzhaf_values,
    faithful_shapley_indices,
    k_shapley_indices,
    shapley_interaction_indices,
    shapley_taylor_indices,
    shapley_values,
)
from harsanyi.interactions.effects.interactions import (
    KINDS,
    SALIENT_THRESHOLD,
    SIGNS,
    EffectRanges,
    Interaction,
    Interactions,
    Salient,
)
from harsanyi.interactions.effects.partition import Partition, constituents, merge_players
from harsanyi.interactions.effects.transforms import (
    and_interactions,
    coalition_masks,
    coalition_orders,
    or_interactions,
    reconstruct,
)
from harsanyi.interactions.evaluate import evaluate, evaluate_outputs, evaluate_pairs, evaluate_together
from harsanyi.interactions.game.baselines import BASELINES, EMBEDDING_ZEROS, UNATTENDED, token
from harsanyi.interactions.game.game import Game
from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.game.neighbours import coarsening, connected, merging_neighbours, neighbours
from harsanyi.interactions.game.players import BACKGROUND, Players
from harsanyi.interactions.game.replacement import (
    REPLACEMENTS,
    FixedReplacement,
    NearestReplacement,
    NormalReplacement,
    ReplacedModel,
    Replacement,
    independent,
    marginal,
    shuffled,
)
from harsanyi.interactions.game.scores import SCORES
from harsanyi.interactions.game.words import sentence_pieces
from harsanyi.interactions.many_players.estimate import SparseMoebius
from harsanyi.interactions.many_players.fourier import spex
from harsanyi.interactions.many_players.influence import Influences, influences, most_influential
from harsanyi.interactions.many_players.low_orders import low_order
from harsanyi.interactions.many_players.moebius import sparse_moebius
from harsanyi.interactions.many_players.screening import HeldOutError, Screened, held_out_error, screened
from harsanyi.interactions.methods import (
    METHODS,
    And,
    AndOr,
    JointSparseAndOr,
    Method,
    SparseAndOr,
    extract,
    extract_each,
)
from harsanyi.interactions.sparse.fit import SparseFit, sparse_and_or
from harsanyi.interactions.sparse.joint import sparse_and_or_joint
from harsanyi.interactions.sparse.ranges import effect_ranges
from harsanyi.interactions.store.store import Store

if TYPE_CHECKING:
    from harsanyi.interactions.attribution import HarsanyiInteractions

# It comes with captum, which nothing else here needs.
__getattr__, _, _ = lazy_loader.attach(__name__, submod_attrs={"attribution": ["HarsanyiInteractions"]})

__all__ = [
    "BACKGROUND",
    "BASELINES",
    "EMBEDDING_ZEROS",
    "KINDS",
    "METHODS",
    "REPLACEMENTS",
    "SALIENT_THRESHOLD",
    "SCORES",
    "SIGNS",
    "UNATTENDED",
    "About",
    "And",
    "AndOr",
    "EffectRanges",
    "FixedReplacement",
    "Game",
    "HarsanyiInteractions",
    "HeldOutError",
    "Influences",
    "Interaction",
    "Interactions",
    "JointSparseAndOr",
    "MaskedModel",
    "Method",
    "NearestReplacement",
    "NormalReplacement",
    "Partition",
    "Players",
    "ReplacedModel",
    "Replacement",
    "Salient",
    "Screened",
    "SparseAndOr",
    "SparseFit",
    "SparseMoebius",
    "Store",
    "and_interactions",
    "banzhaf_interaction_indices",
    "banzhaf_values",
    "coalition_masks",
    "coalition_orders",
    "coarsening",
    "connected",
    "constituents",
    "effect_ranges",
    "evaluate",
    "evaluate_outputs",
    "evaluate_pairs",
    "evaluate_together",
    "extract",
    "extract_each",
    "faithful_shapley_indices",
    "held_out_error",
    "independent",
    "influences",
    "k_shapley_indices",
    "low_order",
    "marginal",
    "merge_players",
    "merging_neighbours",
    "most_influential",
    "neighbours",
    "or_interactions",
    "reconstruct",
    "screened",
    "sentence_pieces",
    "shapley_interaction_indices",
    "shapley_taylor_indices",
    "shapley_values",
    "shuffled",
    "sparse_and_or",
    "sparse_and_or_joint",
    "sparse_moebius",
    "spex",
    "token",
]
