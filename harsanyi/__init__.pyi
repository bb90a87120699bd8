from . import analyses, data, interactions, models
from .analyses.comparison import run_comparison
from .analyses.figures import plot_matching, plot_shares, plot_strength_by_order
from .analyses.knowledge import KnowledgeChange, compare
from .analyses.origins import compare_many
from .analyses.run import Run
from .data.inputs import Inputs
from .interactions.evaluate import evaluate
from .interactions.game import Game
from .interactions.interactions import Interactions
from .interactions.masked_model import MaskedModel
from .interactions.methods import And, AndOr, JointSparseAndOr, SparseAndOr, extract
from .interactions.players import Players
from .interactions.store import Store
from .models.networks import Network

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
    "extract",
    "interactions",
    "models",
    "plot_matching",
    "plot_shares",
    "plot_strength_by_order",
    "run_comparison",
]
__version__: str
