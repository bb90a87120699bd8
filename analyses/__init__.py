"""What is asked of interactions: knowledge kept, dropped and learned; figures; reports; the command line."""

from importlib import import_module
from typing import Any

# Where each name lives. Imported when it is first asked for: `harsanyi --help` need not wait for torch.
_HOME = {
    "bootstrap": ("Interval", "mean_interval", "ratio_interval"),
    "drawings": (
        "draw_change_on_image",
        "draw_change_on_sentence",
        "draw_interaction_on_image",
        "draw_interactions_on_sentence",
        "draw_players_on_image",
        "draw_top_on_image",
    ),
    "figures": ("plot_matching", "plot_shares", "plot_sparsity", "plot_strength_by_order"),
    "knowledge": ("KnowledgeChange", "compare"),
    "report": ("describe", "shares_by_order", "write_report"),
    "run": ("Run", "compute", "run_comparison"),
    "study": ("Compare", "Compute", "Study", "read_study", "study_in"),
    "tables": ("read_table", "write_table"),
}
_MODULES = {name: module for module, names in _HOME.items() for name in names}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'analyses' has no attribute {name!r}")
    return getattr(import_module(f"analyses.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_MODULES]
