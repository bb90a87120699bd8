from .accuracy.correlation_figures import plot_correlation, plot_planning
from .accuracy.counterfactual import counterfactual_table, measured_change, predicted_change
from .accuracy.counterfactual_figures import plot_calibration, plot_effect_sizes
from .accuracy.counterfactual_fit import calibration_table
from .accuracy.discrimination import discrimination_table, margins
from .accuracy.inputs_needed import inputs_needed, planning_curve
from .accuracy.other_baselines import other_baselines, other_tokens
from .accuracy.points import checkpoint_points, input_points
from .accuracy.prediction_figures import plot_discrimination, plot_pruning, plot_restricted
from .accuracy.pruning import Pruning, prune_until_flip
from .accuracy.relate import relate
from .advice.advise import run_advice
from .advice.choices import advice_table
from .comparison.comparison import run_comparison
from .comparison.figures import plot_matching, plot_ranges, plot_shares, plot_sparsity, plot_strength_by_order
from .comparison.on_image import (
    draw_change_on_image,
    draw_interaction_on_image,
    draw_players_on_image,
    draw_top_on_image,
)
from .comparison.on_sentence import draw_change_on_sentence, draw_interactions_on_sentence
from .comparison.sentences import describe, shares_by_order
from .fine_coarse.delta_map import delta_cell, delta_table
from .fine_coarse.demo import DemoExtent
from .fine_coarse.dial import dial_table, loss_split, ring_pool
from .fine_coarse.feature_figures import plot_alignment, plot_errors, plot_patch_effects
from .fine_coarse.feature_learning import DeepDesign, FeatureRun, learn_deep_features, learn_features
from .fine_coarse.feature_report import run_features
from .fine_coarse.feature_settings import Features
from .fine_coarse.feature_tables import alignment_table, error_table, interaction_table, patch_interactions
from .fine_coarse.figures import plot_beta, plot_delta_map, plot_loss_split, plot_redundancy
from .fine_coarse.objective_figures import plot_objective_rows, plot_objectives
from .fine_coarse.objective_sweep import objective_summary, objective_sweep
from .fine_coarse.own_study import run_fine_coarse
from .fine_coarse.panels import draw_delta_maps, draw_loss_split
from .fine_coarse.redundancy import boundary_redundancy
from .fine_coarse.settings import FineCoarse
from .granularity.figures import (
    draw_beside_published,
    plot_granularity,
    plot_misalignment,
    plot_published,
    plot_sizes,
)
from .granularity.ladder import ladder_summary, ladder_table, rare_table
from .granularity.ladder_figures import draw_ladders, plot_ladder, plot_ladder_orders
from .granularity.report import run_granularity
from .granularity.run_tables import over_seeds, runs_table, summary_table
from .granularity.runs import TransferData, TransferRun, plan_runs
from .granularity.settings import Granularity
from .granularity.training import train_runs
from .knowledge.change import KnowledgeChange, compare
from .knowledge.class_tables import class_tables
from .knowledge.generality import found_table, generality_table, sharing_table
from .knowledge.interaction_tables import games_table, ranges_table
from .knowledge.restricted import restricted_prediction
from .knowledge.similarity import reached, similarity
from .knowledge.stability import approximation_table, shares_table, stability_table
from .knowledge.strongest_changes import strongest_changes
from .origins.feature_figures import plot_feature_correlations, plot_features
from .origins.feature_measures import leep, linear_cka, log_me
from .origins.figures import plot_origin_orders, plot_origin_similarities, plot_origins
from .origins.origins import compare_many, origin_similarities
from .origins.report import run_origins
from .partitions.partitions import run_partitions
from .reliability.figures import plot_found, plot_sharing, plot_variations
from .reliability.reliability import run_reliability
from .report.page import Report, write_figures, write_report
from .report.tables import read_table, write_table
from .robustness.robustness import run_robustness
from .run.compute import compute
from .run.notes import approximation
from .run.run import Run
from .statistics.bootstrap import Bootstrap, Interval, mean_interval, ratio_interval, share_interval
from .statistics.correlation import correlation_table
from .study.screening import screening_table
from .study.settings import read_study
from .study.study import Compare, Compute, Reliability, Study, Track, study_in
from .training.figures import (
    plot_orders_over_training,
    plot_performance,
    plot_reached,
    plot_shares_over_training,
    plot_times_to_reach,
)
from .training.portions import portions_table
from .training.succession import succession_table
from .training.theory import theory_curve
from .training.theory_figures import draw_two_phases, plot_succession, plot_theory_orders
from .training.track import track
from .training.trajectory import Trajectory, detours, time_to_reach, trajectory_table

__all__ = [
    "Bootstrap",
    "Compare",
    "Compute",
    "DeepDesign",
    "DemoExtent",
    "FeatureRun",
    "Features",
    "FineCoarse",
    "Granularity",
    "Interval",
    "KnowledgeChange",
    "Pruning",
    "Reliability",
    "Report",
    "Run",
    "Study",
    "Track",
    "Trajectory",
    "TransferData",
    "TransferRun",
    "advice_table",
    "alignment_table",
    "approximation",
    "approximation_table",
    "boundary_redundancy",
    "calibration_table",
    "checkpoint_points",
    "class_tables",
    "compare",
    "compare_many",
    "compute",
    "correlation_table",
    "counterfactual_table",
    "delta_cell",
    "delta_table",
    "describe",
    "detours",
    "dial_table",
    "discrimination_table",
    "draw_beside_published",
    "draw_change_on_image",
    "draw_change_on_sentence",
    "draw_delta_maps",
    "draw_interaction_on_image",
    "draw_interactions_on_sentence",
    "draw_ladders",
    "draw_loss_split",
    "draw_players_on_image",
    "draw_top_on_image",
    "draw_two_phases",
    "error_table",
    "found_table",
    "games_table",
    "generality_table",
    "input_points",
    "inputs_needed",
    "interaction_table",
    "ladder_summary",
    "ladder_table",
    "learn_deep_features",
    "learn_features",
    "leep",
    "linear_cka",
    "log_me",
    "loss_split",
    "margins",
    "mean_interval",
    "measured_change",
    "objective_summary",
    "objective_sweep",
    "origin_similarities",
    "other_baselines",
    "other_tokens",
    "over_seeds",
    "patch_interactions",
    "plan_runs",
    "planning_curve",
    "plot_alignment",
    "plot_beta",
    "plot_calibration",
    "plot_correlation",
    "plot_delta_map",
    "plot_discrimination",
    "plot_effect_sizes",
    "plot_errors",
    "plot_feature_correlations",
    "plot_features",
    "plot_found",
    "plot_granularity",
    "plot_ladder",
    "plot_ladder_orders",
    "plot_loss_split",
    "plot_matching",
    "plot_misalignment",
    "plot_objective_rows",
    "plot_objectives",
    "plot_orders_over_training",
    "plot_origin_orders",
    "plot_origin_similarities",
    "plot_origins",
    "plot_patch_effects",
    "plot_performance",
    "plot_planning",
    "plot_pruning",
    "plot_published",
    "plot_ranges",
    "plot_reached",
    "plot_redundancy",
    "plot_restricted",
    "plot_shares",
    "plot_shares_over_training",
    "plot_sharing",
    "plot_sizes",
    "plot_sparsity",
    "plot_strength_by_order",
    "plot_succession",
    "plot_theory_orders",
    "plot_times_to_reach",
    "plot_variations",
    "portions_table",
    "predicted_change",
    "prune_until_flip",
    "ranges_table",
    "rare_table",
    "ratio_interval",
    "reached",
    "read_study",
    "read_table",
    "relate",
    "restricted_prediction",
    "ring_pool",
    "run_advice",
    "run_comparison",
    "run_features",
    "run_fine_coarse",
    "run_granularity",
    "run_origins",
    "run_partitions",
    "run_reliability",
    "run_robustness",
    "runs_table",
    "screening_table",
    "share_interval",
    "shares_by_order",
    "shares_table",
    "sharing_table",
    "similarity",
    "stability_table",
    "strongest_changes",
    "study_in",
    "succession_table",
    "summary_table",
    "theory_curve",
    "time_to_reach",
    "track",
    "train_runs",
    "trajectory_table",
    "write_figures",
    "write_report",
    "write_table",
]
