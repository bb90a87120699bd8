"""Features of finished runs: by the command on trained networks, against measures made from the networks."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr, t
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from harsanyi import data, models
from harsanyi.analyses import read_table
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.origins.feature_figures import plot_feature_correlations
from harsanyi.analyses.origins.feature_words import correlations_in_words, correlations_told, feature_notes
from harsanyi.analyses.origins.features import GAIN, LESS, PREDICTORS, clusters_of, feature_correlations
from harsanyi.analyses.statistics.correlation import coefficient_difference
from harsanyi.models import Recipe, Samples, train
from harsanyi.models.training.probes import hold_out
from tests.alternatives import captions_alone
from tests.legible import faults

TRAINED = 200  # inputs of the tables below; the others are asked about
SPLIT = ("before", "after", "scratch")


def trained(items, level: str, start: str | None, epochs: int, seed: int, folder: Path) -> Path:
    labels, classes = items.level(level)
    network = models.load("small:cnn", start or "random", seed=seed, classes=None if start else classes)
    network = network.with_new_head(classes, seed=seed) if start else network
    samples, recipe = Samples(items.items, labels), Recipe(epochs=epochs, learning_rate=0.05)
    train(network, samples, recipe, folder=folder, held_out=samples, progress=False)
    return sorted(folder.glob("epoch-*.safetensors"))[-1]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Networks pretrained on fine or coarse classes, fine-tuned on coarse; `none` has none from scratch."""
    folder = tmp_path_factory.mktemp("features")
    items = data.load(data.fashion_mnist_path("train")).sample(TRAINED, 0, "fine")
    scratch = trained(items, "coarse", None, 1, 2, folder / "scratch")
    for name, level in (("fine", "fine"), ("coarse", "coarse")):
        before = trained(items, level, None, 3, 1, folder / f"{name}-before")
        after = trained(items, "coarse", str(before), 2, 3, folder / f"{name}-after")
        compare(folder / name, before, after, scratch)
    compare(folder / "none", before, after)
    return folder


def compare(out: Path, before: Path, after: Path, scratch: Path | None = None, *more: str) -> None:
    named = [f"--before={before}", f"--after={after}", *([f"--scratch={scratch}"] if scratch else [])]
    main(
        [
            *("compare", "--model=small:cnn", *named, f"--data={data.fashion_mnist_path('test')}"),
            *("--level=coarse", "--inputs=3", "--players=grid:2x2", "--method=and-or", "--read-out=auto"),
            *(f"--out={out}", *more),
        ]
    )


@pytest.fixture(scope="module")
def beside(runs) -> Path:
    out = runs / "beside"
    named = [f"{name}={runs / name}" for name in ("fine", "coarse", "none")]
    main(["origins", *named, f"--out={out}", "--features"])
    return out


def network(runs: Path, run: str, side: str) -> models.Network:
    checkpoints = {"scratch": "scratch"}.get(side, f"{run}-{side}")
    return models.load("small:cnn", sorted((runs / checkpoints).glob("epoch-*.safetensors"))[-1])


def matrix_cka(x: np.ndarray, y: np.ndarray) -> float:
    """By whole matrices, with the sums of the paper."""

    def hsic(k: np.ndarray, m: np.ndarray) -> float:
        n, one = len(k), np.ones(len(k))
        k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
        sums = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
        return float((np.trace(k @ m) + sums - 2 * one @ k @ m @ one / (n - 2)) / (n * (n - 3)))

    k, m = x @ x.T, y @ y.T
    return hsic(k, m) / math.sqrt(hsic(k, k) * hsic(m, m))


def test_measures_are_those_of_the_networks(runs, beside):
    table = read_table(beside / "features.h5").set_index(["origin", "measure"])
    inputs = data.load(data.fashion_mnist_path("test"))
    inputs = inputs.sample(min(2000, len(inputs)), 0, "coarse")
    labels, _ = inputs.level("coarse")
    networks = {side: network(runs, "fine", side) for side in SPLIT}
    given = networks["before"].preprocess(list(inputs.items))
    before, after = (networks[side].features(given).double().numpy() for side in ("before", "after"))
    # The networks answer in float32, here and there in batches of other sizes.
    assert table.value["fine", "cka"] == pytest.approx(matrix_cka(before, after), abs=1e-5)
    probabilities = networks["before"].logits(given).double().softmax(1).numpy()
    assert probabilities.shape[1] == 10  # its own classes, although it answers four by its read-out
    joint = np.array([probabilities[labels == one].sum(0) for one in range(4)])
    terms = ((joint / joint.sum(0))[labels] * probabilities).sum(1)
    assert table.value["fine", "leep"] == pytest.approx(np.log(terms).mean(), abs=1e-5)
    held = hold_out(labels, 0.5, 0)
    scaler = StandardScaler().fit(before[~held])
    probe = LogisticRegression(max_iter=5000).fit(scaler.transform(before[~held]), labels[~held])
    right = probe.score(scaler.transform(before[held]), labels[held])
    # An input or two may lie so near to a boundary that rounding moves them.
    assert table.value["fine", "probe_accuracy"] == pytest.approx(right, abs=2 / held.sum())
    right = [float((networks[side].logits(given).argmax(1).numpy() == labels).mean()) for side in SPLIT[1:]]
    assert table.value["fine", "accuracy"] == pytest.approx(right[0], abs=1 / len(labels))
    assert table.value["fine", "gain"] == pytest.approx(right[0] - right[1], abs=2 / len(labels))
    assert (table.inputs == len(inputs)).all()
    assert (table.left_out == 0).all()
    assert table.low["fine", "gain"] < table.value["fine", "gain"] < table.high["fine", "gain"]


def test_a_run_without_scratch_has_no_gain_and_says_so(beside):
    table = read_table(beside / "features.h5").set_index(["origin", "measure"])
    assert np.isnan(table.value["none", "gain"])
    assert table.why["none", "gain"].startswith("there is no network from scratch")
    report = (beside / "report.html").read_text(encoding="utf-8")
    assert (
        "No accuracy from scratch and gain over scratch of none: there is no network from scratch" in report
    )
    assert "2 origins of 3 have a gain over a network from scratch, and a rank correlation needs 5." in report
    assert "--features" in report
    assert captions_alone(beside / "report.html") == []
    assert len(list((beside / "figures").glob("*.png"))) == 6


@pytest.mark.usefixtures("no_pixels")
def test_five_origins_have_rank_correlations(runs, tmp_path, capsys):
    named = [f"{name}{copy}={runs / name}" for name in ("fine", "coarse") for copy in ("", "2", "3")]
    main(["origins", *named[:5], f"--out={tmp_path / 'out'}", "--features"])
    table = read_table(tmp_path / "out/feature_correlations.h5")
    assert list(table.x) == [*PREDICTORS, LESS]
    assert (table.points == 5).all()
    assert "Over 5 origins the gain over scratch correlates in rank with" in capsys.readouterr().out


@pytest.mark.usefixtures("no_pixels")
def test_runs_of_one_cluster_are_left_out_together(runs, refused, tmp_path):
    named = [f"{name}-{copy}={runs / name}" for name in ("fine", "coarse") for copy in range(3)]
    asked = [*("origins", *named, f"--out={tmp_path / 'out'}", "--features"), "--clusters"]
    main([*asked, "fine", "coarse"])
    table = read_table(tmp_path / "out/feature_correlations.h5")
    assert (table.points == 6).all()
    assert (table.clusters == 2).all()
    assert table.low.isna().all()  # two clusters are too few for an interval
    report = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "Over 6 origins in 2 clusters the gain over scratch correlates in rank with" in report
    assert "--clusters fine coarse" in report
    assert captions_alone(tmp_path / "out/report.html") == []
    assert "--clusters has fine, and coarse-0 is in none of them" in refused(*asked, "fine")
    said = refused("origins", *named, f"--out={tmp_path / 'other'}", "--clusters", "fine", "coarse")
    assert "--clusters is for the correlations of --features" in said
    assert not (tmp_path / "other").exists()


def points_of(count: int) -> pd.DataFrame:
    generator = np.random.default_rng(1)
    points = pd.DataFrame({name: generator.normal(size=count) for name in PREDICTORS})
    gain = points.preserved_share - 0.5 * points.cka + generator.normal(size=count)
    return points.assign(**{GAIN: gain})


def test_rank_correlations_and_their_difference_by_literal_jackknife():
    points = points_of(9)
    table = feature_correlations(points).set_index("x")
    for name in PREDICTORS:
        assert table.value[name] == pytest.approx(spearmanr(points[name], points.gain).statistic, abs=1e-12)

    def signed(rows: pd.DataFrame, name: str) -> float:
        sign = np.sign(spearmanr(points[name], points.gain).statistic)
        return float(sign * spearmanr(rows[name], rows.gain).statistic)

    value = signed(points, "preserved_share") - signed(points, "cka")
    without = [points.drop(index=i) for i in range(9)]
    values = np.array([signed(rows, "preserved_share") - signed(rows, "cka") for rows in without])
    error = math.sqrt(8 / 9 * ((values - values.mean()) ** 2).sum())
    row = table.loc[LESS]
    assert row.coefficient == "|spearman|"
    assert row.value == pytest.approx(value, abs=1e-12)
    assert row.high == pytest.approx(min(value + t.ppf(0.975, 8) * error, 1), abs=1e-9)
    assert row.p == pytest.approx(2 * t.sf(abs(value) / error, 8), abs=1e-9)


def test_intervals_over_clusters_by_literal_jackknife():
    points = points_of(18)
    clusters = {row: "abcdef"[row % 6] for row in points.index}
    table = feature_correlations(points, clusters=clusters).set_index("x")
    assert (table.points == 18).all()
    assert (table.clusters == 6).all()

    def rho(rows: pd.DataFrame, name: str) -> float:
        return float(spearmanr(rows[name], rows.gain).statistic)

    def less(rows: pd.DataFrame) -> float:
        signs = [np.sign(rho(points, name)) for name in ("preserved_share", "cka")]
        return float(signs[0] * rho(rows, "preserved_share") - signs[1] * rho(rows, "cka"))

    without = [points[points.index.map(clusters) != cluster] for cluster in "abcdef"]
    of_one = np.arctanh([rho(rows, "cka") for rows in without])
    error = math.sqrt(5 / 6 * ((of_one - of_one.mean()) ** 2).sum())
    high = math.tanh(math.atanh(rho(points, "cka")) + t.ppf(0.975, 5) * error)
    assert table.value["cka"] == pytest.approx(rho(points, "cka"), abs=1e-12)
    assert table.high["cka"] == pytest.approx(high, abs=1e-9)
    values = np.array([less(rows) for rows in without])
    error = math.sqrt(5 / 6 * ((values - values.mean()) ** 2).sum())
    assert table.value[LESS] == pytest.approx(less(points), abs=1e-12)
    assert table.low[LESS] == pytest.approx(max(less(points) - t.ppf(0.975, 5) * error, -1), abs=1e-9)


def test_clusters_are_said_where_there_are_some():
    alone = feature_correlations(points_of(9))
    together = feature_correlations(points_of(9), clusters={row: f"{row % 5}" for row in range(9)})
    assert "clusters" not in correlations_in_words(alone)
    assert set(correlations_in_words(together).clusters) == {"5"}
    assert "too narrow" in feature_notes(alone)[1]
    assert "left out with all its origins" in feature_notes(together)[1]


def test_a_run_is_in_the_cluster_with_the_longest_beginning_of_its_name():
    names = ["grey-0", "grey-far-0", "grey"]
    assert clusters_of(names, ["grey", "grey-far"]) == dict(
        zip(names, ["grey", "grey-far", "grey"], strict=True)
    )
    assert clusters_of(names, []) == {}
    with pytest.raises(ValueError, match="nearby is in none of them"):
        clusters_of(["near-0", "nearby"], ["near"])
    with pytest.raises(ValueError, match="no run is in far"):
        clusters_of(["near-0"], ["near", "far"])


def test_a_measure_against_itself_tells_nothing():
    row = coefficient_difference(points_of(9), ("cka", "cka"), GAIN).iloc[0]
    assert row.value == 0
    assert np.isnan(row.low)
    assert np.isnan(row.p)


def test_few_points_have_no_interval():
    row = coefficient_difference(points_of(4), ("cka", "leep"), GAIN).iloc[0]
    assert np.isfinite(row.value)
    assert np.isnan(row.low)
    empty = coefficient_difference(points_of(4).assign(cka=np.nan), ("cka", "leep"), GAIN).iloc[0]
    assert np.isnan(empty.value)
    assert empty.left_out == 4


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [(0.1, 0.9, "Yes"), (-0.9, -0.1, "No, CKA says more"), (-0.1, 0.5, "That cannot be told")],
)
def test_the_answer_follows_from_the_interval(low, high, answer):
    table = feature_correlations(points_of(9))
    table.loc[table.x == LESS, ["low", "high"]] = low, high
    features = pd.DataFrame({"origin": list("abcdefghi"), "measure": GAIN, "value": 0.1})
    assert (
        f"say more of the gain over scratch than CKA? {answer}: |ρ|" in correlations_told(features, table)[-1]
    )


def test_the_figure_of_correlations_can_be_read():
    ax = plot_feature_correlations(feature_correlations(points_of(9)))
    assert faults({"Gain": ax.figure}) == []
    assert len(ax.collections) == len(PREDICTORS) + 1


@pytest.mark.usefixtures("no_pixels")
def test_features_need_labels_of_the_data(runs, refused, tmp_path):
    before, after = (sorted((runs / f"coarse-{side}").glob("epoch-*.safetensors"))[-1] for side in SPLIT[:2])
    compare_with = tmp_path / "predicted"
    main(
        [
            *("compare", "--model=small:cnn", f"--before={before}", f"--after={after}"),
            *(f"--data={data.fashion_mnist_path('test')}", "--level=coarse", "--inputs=3"),
            *("--players=grid:2x2", "--method=and-or", "--label=predicted", f"--out={compare_with}"),
        ]
    )
    named = [f"a={compare_with}", f"b={runs / 'fine'}"]
    said = refused("origins", *named, f"--out={tmp_path / 'out'}", "--features")
    assert "and a has --label predicted: leave out --features, or that run" in said
    assert not (tmp_path / "out").exists()
