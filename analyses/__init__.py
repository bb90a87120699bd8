"""What is asked of interactions: knowledge kept, dropped and learned; figures; reports; the command line."""

import lazy_loader

# Where each name lives. Imported when it is first asked for: `harsanyi --help` need not wait for torch.
_HOME = {
    "bootstrap": ["Interval", "mean_interval", "ratio_interval"],
    "calibration": ["calibration_table"],
    "changes": ["strongest_changes"],
    "classes": ["class_tables"],
    "comparison": ["run_comparison"],
    "correlation": ["checkpoint_points", "correlation_table", "input_points"],
    "correlation_figures": ["plot_correlation", "plot_planning"],
    "counterfactual": [
        "counterfactual_table",
        "measured_change",
        "other_baselines",
        "other_tokens",
        "predicted_change",
    ],
    "counterfactual_figures": ["plot_calibration", "plot_effect_sizes"],
    "discrimination": ["discrimination_table", "margins"],
    "figures": ["plot_matching", "plot_ranges", "plot_shares", "plot_sparsity", "plot_strength_by_order"],
    "generality": ["found_table", "generality_table", "sharing_table"],
    "image_drawings": [
        "draw_change_on_image",
        "draw_interaction_on_image",
        "draw_players_on_image",
        "draw_top_on_image",
    ],
    "knowledge": ["KnowledgeChange", "compare"],
    "accuracy": ["relate"],
    "origin_figures": ["plot_origin_orders", "plot_origin_similarities", "plot_origins"],
    "origin_report": ["run_origins"],
    "origins": ["compare_many", "origin_similarities"],
    "planning": ["inputs_needed", "planning_curve"],
    "prediction_figures": ["plot_discrimination", "plot_pruning", "plot_restricted"],
    "pruning": ["Pruning", "prune_until_flip"],
    "reliability": ["run_reliability"],
    "reliability_figures": ["plot_found", "plot_sharing", "plot_variations"],
    "report": ["describe", "shares_by_order", "write_figures", "write_report"],
    "restricted": ["restricted_prediction"],
    "run": ["Run", "compute"],
    "sentence_drawings": ["draw_change_on_sentence", "draw_interactions_on_sentence"],
    "stability": ["approximation_table", "shares_table", "stability_table"],
    "study": ["Compare", "Compute", "Reliability", "Study", "Track", "read_study", "study_in"],
    "succession": ["succession_table"],
    "tables": ["games_table", "ranges_table", "read_table", "write_table"],
    "tracking": ["track"],
    "trajectory": ["Trajectory", "detours", "reached", "similarity", "time_to_reach", "trajectory_table"],
    "trajectory_figures": [
        "plot_orders_over_training",
        "plot_performance",
        "plot_reached",
        "plot_shares_over_training",
        "plot_times_to_reach",
    ],
    "two_phase": ["theory_curve"],
    "two_phase_figures": ["draw_two_phases", "plot_succession", "plot_theory_orders"],
}

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs=_HOME)
