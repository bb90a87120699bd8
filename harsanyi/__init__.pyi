from . import analyses, data, interactions, models, pictures
from .analyses.comparison.comparison import run_comparison
from .analyses.comparison.figures import plot_matching, plot_shares, plot_strength_by_order
from .analyses.explanation.explanation import explain
from .analyses.knowledge.change import KnowledgeChange, compare
from .analyses.origins.origins import compare_many
from .analyses.run.run import Run
from .data.inputs import Inputs
from .interactions.effects.interactions import Interactions
from .interactions.evaluate import evaluate
from .interactions.game.game import Game
from .interactions.game.masked_model import MaskedModel
from .interactions.game.players import Players
from .interactions.methods import And, AndOr, JointSparseAndOr, SparseAndOr, extract
from .interactions.store.store import Store
from .models.loading.networks import Network

__all__ = [
    "And",
    "AndOr",
    "Game",
    "Inputs",
    "Interactions",
    "JointSparseAndOr",
    "KnowledgeChange",
    "MaskedModel",
    "Network",
    "Players",
    "Run",
    "SparseAndOr",
    "Store",
    "analyses",
    "compare",
    "compare_many",
    "data",
    "evaluate",
    "explain",
    "extract",
    "interactions",
    "models",
    "pictures",
    "plot_matching",
    "plot_shares",
    "plot_strength_by_order",
    "run_comparison",
]
__version__: str
