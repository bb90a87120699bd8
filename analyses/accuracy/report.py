"""What relates knowledge to accuracy, in figures and in words."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from harsanyi.analyses.accuracy.correlation_figures import plot_correlation, plot_planning
from harsanyi.analyses.accuracy.counterfactual_figures import plot_calibration, plot_effect_sizes
from harsanyi.analyses.accuracy.prediction_figures import plot_discrimination, plot_pruning, plot_restricted
from harsanyi.analyses.drawing.palette import whole
from harsanyi.analyses.knowledge.amounts import total_row
from harsanyi.analyses.report.words import percent, with_interval

# The tables of the accuracy command, by the names of their files.
RESTRICTED, DISCRIMINATION, PRUNING, STANDING = "restricted", "discrimination", "pruning", "standing"
COUNTERFACTUAL, CALIBRATION = "counterfactual", "calibration"
CORRELATION, INPUTS, CHECKPOINTS = "correlation", "inputs", "checkpoints"
PLANNING, NEEDED = "planning", "inputs_needed"
ACCURACY = "accuracy held out"


def accuracy_figures(tables: Mapping[str, pd.DataFrame], unit: str) -> dict[str, Figure]:
    """The figures by caption; what stands before the colon names the file."""
    found, correlations = tables[CALIBRATION], tables[CORRELATION]
    figures = {
        "Restricted prediction: accuracy of a part of the knowledge alone (filled), and of all salient "
        "knowledge without it (outlined); lines: the whole network, and its constants alone": plot_restricted(
            tables[RESTRICTED]
        ),
        "Discriminative: strength of each part that speaks for the true class more than for any other, by "
        "order": plot_discrimination(tables[DISCRIMINATION]),
        "Pruning: inputs whose answer still stands, by interactions removed": plot_pruning(tables[STANDING]),
        "Effect sizes: change of the score where the players of the strongest interactions are masked in "
        "another way, beside random coalitions of the same size": plot_effect_sizes(found, unit=unit),
        **{
            f"Calibration {baseline}: predicted and measured change of the score": plot_calibration(
                tables[COUNTERFACTUAL], baseline, found=found, unit=unit
            )
            for baseline in dict.fromkeys(found.baseline)
        },
        "New share and score: a dot an input": plot_correlation(
            tables[INPUTS], "new_share", "score_after", table=correlations[correlations.over == "inputs"]
        ),
        "Inputs needed: where shares would lie with fewer inputs": plot_planning(tables[PLANNING]),
    }
    if CHECKPOINTS in tables and "new_share" in tables[CHECKPOINTS]:
        figures["New share and accuracy: a dot a checkpoint"] = plot_correlation(
            tables[CHECKPOINTS],
            "new_share",
            ACCURACY,
            by="series",
            table=correlations[correlations.over == "checkpoints"],
        )
    return {caption: whole(ax) for caption, ax in figures.items()}


def describe_accuracy(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """What was found, in plain sentences."""
    restricted = tables[RESTRICTED]
    alone = restricted[(restricted.version == "only") & (restricted.quantity == "accuracy")]
    told = {row.knowledge: with_interval(row, percent) for row in alone.itertuples()}
    sentences = [
        f"The network answers {told['everything']} of these inputs rightly; from all its salient "
        f"interactions {told['all salient']}, from the preserved ones alone {told['preserved']}, from the "
        f"new ones alone {told['new']}, and from its constants alone {told['nothing']}."
    ]
    lead = tables[DISCRIMINATION]
    for part in ("preserved", "new"):
        row = total_row(lead, knowledge=part, quantity="discriminative_share")
        share = with_interval(row, percent)
        sentences.append(
            f"Of the {part} strength on the true class, {share} speaks for it more than for any other class."
        )
    found = tables[CALIBRATION]
    for baseline in dict.fromkeys(found.baseline):
        rows = found[(found.baseline == baseline) & (found.part == "all") & (found.kind == "both")]
        fit = rows[(rows["sample"] == "chosen") & (rows.quantity == "pearson")].iloc[0]
        size = rows[rows.quantity == "cliff_delta"].iloc[0]
        pearson, delta = (with_interval(one, "{:.2f}".format) for one in (fit, size))
        more = "more" if size.low > 0 else "less" if size.high < 0 else "no more"
        sentences.append(
            f"With {baseline.replace('_', ' ')} for masked players, predicted and measured changes "
            f"correlate by {pearson}; masking the players of strong interactions moves the score {more} than "
            f"masking as many others (Cliff's δ {delta})."
        )
    sentences += [
        f"For a {str(one.quantity).replace('_', ' ')} within ±{one.half_width:.0%}, about {one.inputs:.0f} "
        f"inputs are needed{' (extrapolated)' if one.extrapolated else ''}."
        for one in tables[NEEDED].itertuples()
    ]
    return sentences


def restricted_in_words(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of each part, alone and left out."""
    rows = table[table.quantity == "accuracy"]
    cells = rows.assign(text=[with_interval(row, percent) for row in rows.itertuples()])
    wide = cells.pivot(index="knowledge", columns="version", values="text").fillna("")
    return wide.loc[list(dict.fromkeys(rows.knowledge)), ["only", "without"]]
