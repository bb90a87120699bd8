"""Exact AND and OR interactions of any network, from its output on all 2ⁿ masked inputs."""

from harsanyi.interactions.attribution import HarsanyiInteractions
from harsanyi.interactions.baselines import BASELINES, EMBEDDING_ZEROS, UNATTENDED, token
from harsanyi.interactions.evaluate import evaluate, evaluate_outputs, evaluate_pairs
from harsanyi.interactions.game import Game
from harsanyi.interactions.indices import banzhaf_values, shapley_interaction_indices, shapley_values
from harsanyi.interactions.influence import Influences, influences, most_influential
from harsanyi.interactions.interactions import (
    KINDS,
    SALIENT_THRESHOLD,
    SIGNS,
    EffectRanges,
    Interaction,
    Interactions,
    Salient,
)
from harsanyi.interactions.joint import sparse_and_or_joint
from harsanyi.interactions.low_orders import low_order
from harsanyi.interactions.masked_model import MaskedModel
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
from harsanyi.interactions.players import BACKGROUND, Players
from harsanyi.interactions.ranges import effect_ranges
from harsanyi.interactions.scores import SCORES
from harsanyi.interactions.screening import HeldOutError, Screened, held_out_error, screened
from harsanyi.interactions.sparse import SparseFit, sparse_and_or
from harsanyi.interactions.sparse_effects import SparseMoebius
from harsanyi.interactions.sparse_fourier import spex
from harsanyi.interactions.sparse_transform import sparse_moebius
from harsanyi.interactions.store import Store
from harsanyi.interactions.text_units import sentence_pieces
from harsanyi.interactions.transforms import (
    and_interactions,
    coalition_masks,
    coalition_orders,
    or_interactions,
    reconstruct,
)

__all__ = [
    "BACKGROUND",
    "BASELINES",
    "EMBEDDING_ZEROS",
    "KINDS",
    "METHODS",
    "SALIENT_THRESHOLD",
    "SCORES",
    "SIGNS",
    "UNATTENDED",
    "And",
    "AndOr",
    "EffectRanges",
    "Game",
    "HarsanyiInteractions",
    "HeldOutError",
    "Influences",
    "Interaction",
    "Interactions",
    "JointSparseAndOr",
    "MaskedModel",
    "Method",
    "Players",
    "Salient",
    "Screened",
    "SparseAndOr",
    "SparseFit",
    "SparseMoebius",
    "Store",
    "and_interactions",
    "banzhaf_values",
    "coalition_masks",
    "coalition_orders",
    "effect_ranges",
    "evaluate",
    "evaluate_outputs",
    "evaluate_pairs",
    "extract",
    "extract_each",
    "held_out_error",
    "influences",
    "low_order",
    "most_influential",
    "or_interactions",
    "reconstruct",
    "screened",
    "sentence_pieces",
    "shapley_interaction_indices",
    "shapley_values",
    "sparse_and_or",
    "sparse_and_or_joint",
    "sparse_moebius",
    "spex",
    "token",
]
