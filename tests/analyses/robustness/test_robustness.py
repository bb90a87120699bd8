"""Robustness: accuracies against literal loops over coalitions, classes and inputs, in float64."""

import math
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from harsanyi import data, models
from harsanyi.analyses import Run, read_study, read_table
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.knowledge.stability import shares_table
from harsanyi.analyses.reliability.report import shares_in_words
from harsanyi.analyses.robustness.report import (
    accuracies_in_words,
    describe_robustness,
    robustness_figures,
    robustness_findings,
)
from harsanyi.analyses.statistics.bootstrap import Bootstrap, mean_difference_interval
from harsanyi.analyses.study import attack
from harsanyi.analyses.study.attack import attacked
from harsanyi.analyses.study.layout import Layout
from harsanyi.analyses.study.study import Compare
from harsanyi.data.corruptions import corrupted
from harsanyi.interactions import Players
from tests.alternatives import captions_alone
from tests.legible import faults, tables_in

COARSE = ("top", "trouser-dress", "shoe", "bag")
INPUTS, CELLS = 12, 4
EPS = 0.5
VARIED = {"noise:30": ("noise", 30.0), "blur:5": ("blur", 5.0), "pgd:0.5": None}
GIVEN = ["--corruptions", "noise:30", "blur:5", "--attacks", "0.5"]
CLAIM = "accuracy:with_discarded:blur:5 - accuracy:fine-tuned:blur:5 > 0.3"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with before, trained on the clothes upside down, and after, trained on from there."""
    folder = tmp_path_factory.mktemp("trained")
    inputs = data.load(data.fashion_mnist_path("train")).sample(240, 0, "coarse")
    labels, classes = inputs.level("coarse")
    network = models.load("small:cnn", "random", classes=classes, seed=0)
    pixels, targets = network.preprocess(list(inputs.items)), torch.tensor(labels)
    for name, given in (("before", pixels.flip(2)), ("after", pixels)):
        optimiser = torch.optim.Adam(network.model.parameters(), lr=3e-3)
        network.model.train()
        for step in range(24):
            rows = slice(40 * (step % 6), 40 * (step % 6) + 40)
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(network.model(given[rows]), targets[rows]).backward()
            optimiser.step()
        models.save_checkpoint(folder / f"{name}.safetensors", network.model, classes=classes)
    return folder


def compared(trained: Path, out: Path, *more: str) -> Path:
    named = [f"--{name}={trained / name}.safetensors" for name in ("before", "after")]
    main(
        [
            *("compare", "--model=small:cnn", *named, f"--data={data.fashion_mnist_path('test')}"),
            *("--level=coarse", f"--inputs={INPUTS}", "--players=grid:2x2", "--method=and", "--quiet"),
            *(f"--out={out}", *more),
        ]
    )
    return out


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory) -> Path:
    folder = compared(trained, tmp_path_factory.mktemp("robustness") / "run", "--keep-outputs")
    main(["robustness", str(folder), *GIVEN, "--claims", CLAIM, "new_share_difference:blur:5 < 2", "--quiet"])
    return folder


def inputs_of(run: Path, variation: str, network) -> torch.Tensor:
    """What both networks are given, (games, 1, 28, 28), on a distribution."""
    inputs = data.load(data.fashion_mnist_path("test")).sample(INPUTS, 0, "coarse")
    if variation == "clean":
        return network.preprocess(list(inputs.items))
    if (change := VARIED[variation]) is not None:
        return network.preprocess(list(corrupted(inputs, *change, 0).items))
    return torch.from_numpy(Run.open(run / "robustness/pgd-0.5").store.array("attacked"))


def effects_of(network, pixels: torch.Tensor) -> tuple[list[list[float]], list[float], list[float]]:
    """Of one input: AND effects by class and coalition; each class's score of all and of no cells."""
    model = network.model.double().eval()
    coalitions = list(product((0, 1), repeat=CELLS))
    v = []
    for present in coalitions:
        masked = pixels.double().clone()
        for cell, there in enumerate(present):
            row, column = divmod(cell, 2)
            if not there:
                masked[:, 14 * row : 14 * row + 14, 14 * column : 14 * column + 14] = 0
        with torch.no_grad():
            z = model(masked[None])[0].tolist()
        v.append([z[k] - math.log(sum(math.exp(z[j]) for j in range(4) if j != k)) for k in range(4)])
    effects = []
    for k in range(4):
        of_class = []
        for whole in coalitions:
            subsets = [
                i
                for i, part in enumerate(coalitions)
                if all(p <= w for p, w in zip(part, whole, strict=True))
            ]
            of_class.append(sum((-1) ** (sum(whole) - sum(coalitions[i])) * v[i][k] for i in subsets))
        effects.append(of_class)
    return effects, v[-1], v[0]


def literal_answers(before, after, threshold: float) -> dict[str, int]:
    """The class that each part of the knowledge answers, one effect at a time."""
    scores: dict[str, list[float]] = {}
    for k in range(4):
        (was, v_was, none_was), (is_, v_is, none_is) = before, after
        sums = dict.fromkeys(("preserved", "new", "discarded", "salient"), 0.0)
        limits = [threshold * max(abs(x) for x in of[k][1:]) for of in (was, is_)]
        for one, other in list(zip(was[k], is_[k], strict=True))[1:]:
            one, other = (x if abs(x) > limit else 0.0 for x, limit in zip((one, other), limits, strict=True))
            shared = math.copysign(min(abs(one), abs(other)), one) if one * other > 0 else 0.0
            sums["preserved"] += shared
            sums["new"] += other - shared
            sums["discarded"] += one - shared
            sums["salient"] += other
        of_class = {
            "fine-tuned": v_is[k],
            "pretrained": v_was[k],
            "with discarded": v_is[k] + sums["discarded"],
            "preserved": none_is[k] + sums["preserved"],
            "new": none_is[k] + sums["new"],
            "discarded": none_was[k] + sums["discarded"],
            "all salient": none_is[k] + sums["salient"],
            "constants": none_is[k],
            "constants of before": none_was[k],
        }
        for name, score in of_class.items():
            scores.setdefault(name, []).append(score)
    return {name: max(range(4), key=lambda k: of_name[k]) for name, of_name in scores.items()}


@pytest.mark.parametrize("variation", ["clean", *VARIED])
def test_accuracies_by_definition(run, trained, variation):
    networks = [
        models.load("small:cnn", str(trained / f"{name}.safetensors")) for name in ("before", "after")
    ]
    pixels = inputs_of(run, variation, networks[1])
    inputs = data.load(data.fashion_mnist_path("test")).sample(INPUTS, 0, "coarse")
    labels, classes = inputs.level("coarse")
    assert classes == networks[1].classes
    right: dict[str, list[float]] = {}
    for game, label in enumerate(labels.tolist()):
        sides = [effects_of(network, pixels[game]) for network in networks]
        for name, answer in literal_answers(*sides, 0.05).items():
            right.setdefault(name, []).append(float(answer == label))
    table = read_table(run / "robustness/robustness.h5")
    table = table[table.variation == variation].set_index("knowledge")
    parts = [f"random like {name}" for name in ("preserved", "new", "discarded")]
    assert set(table.index) == {*right, *parts, "chance"}
    tuned = np.array(right["fine-tuned"])
    for name, of_name in right.items():
        row = table.loc[name]
        # Counts of answers: scores in float32 and in float64 have the same largest one here.
        assert row.value == pytest.approx(np.mean(of_name), abs=1e-12)
        less = np.array(of_name) - tuned
        assert row.difference == pytest.approx(less.mean(), abs=1e-12)
        if len(set(less)) == 1:
            assert math.isnan(row.p)
            assert math.isnan(row.difference_low)
            continue
        (expected,) = mean_difference_interval(less[:, None], bootstrap=Bootstrap())
        assert row.p == pytest.approx(expected.p, abs=1e-12, nan_ok=True)
        bounds = (max(expected.low, -1), min(expected.high, 1))
        assert (row.difference_low, row.difference_high) == pytest.approx(bounds, abs=1e-12, nan_ok=True)
    assert table.loc["chance"].value == 0.25
    assert ((table.games == INPUTS) & (table.value.between(0, 1))).all()


def test_the_networks_know_something(run):
    table = read_table(run / "robustness/robustness.h5").set_index(["variation", "knowledge"])
    assert table.loc[("clean", "fine-tuned"), "value"] > 0.5
    assert table.loc[("pgd:0.5", "fine-tuned"), "value"] < table.loc[("clean", "fine-tuned"), "value"]


def test_shares_are_those_of_the_runs(run):
    table, clean = read_table(run / "robustness/shares.h5"), Run.open(run)
    for name in VARIED:
        varied = Run.open(run / "robustness" / name.replace(":", "-"))
        expected = shares_table(varied.change, clean.change)
        found = table[table.variation == name].drop(columns=["variation", "group", "p_corrected"])
        assert found.reset_index(drop=True).astype(object).equals(expected.astype(object)), name
    assert dict(zip(table.variation, table.group, strict=True)) == {
        "clean": "clean",
        "noise:30": "noise",
        "blur:5": "shift",
        "pgd:0.5": "attack",
    }


def test_what_is_written(run):
    out = run / "robustness"
    written = {path.name for path in out.iterdir()}
    tables = {f"{name}.{ending}" for name in ("robustness", "shares", "claims") for ending in ("csv", "h5")}
    assert written == {*tables, "figures", "report.html", "noise-30", "blur-5", "pgd-0.5"}
    report = (out / "report.html").read_text(encoding="utf-8")
    for said in ("Under attack", "what it discarded put back", "cannot be told"):
        assert said in report
    assert len(list((out / "figures").glob("*.png"))) == 3
    assert captions_alone(out / "report.html") == []
    assert faults(robustness_figures(tables_in(out))) == []
    claims = read_table(out / "claims.h5")
    assert claims.claim.tolist() == [CLAIM, "new_share_difference:blur:5 < 2"]
    assert claims.verdict.iloc[1] == "holds"


def test_changes_are_called_in_words(run):
    """Names of the tables stand in claims alone, and in the command."""
    words = ["clean", "noise, amount 30", "blur, severity 5", "attack, up to 0.5"]
    tables = tables_in(run / "robustness")
    for figure in robustness_figures(tables).values():
        (ax,) = figure.axes
        assert [label.get_text() for label in ax.get_yticklabels()] == words
    for of in ("", "difference"):
        assert list(accuracies_in_words(tables["robustness"], of).columns) == words
    assert list(shares_in_words(tables["shares"], "").index) == words
    said = " ".join([*describe_robustness(tables), *robustness_findings(tables).values()])
    assert "most with blur, severity 5" in said
    assert [name for name in VARIED if name in said] == []


def test_a_second_run_asks_no_masked_input_and_writes_the_same(run, forwards, monkeypatch):
    """And attacks none: what was attacked is kept."""
    monkeypatch.setattr(attack, "perturbed", lambda *_, **__: pytest.fail("an input is attacked again"))
    before = {path: path.read_bytes() for path in (run / "robustness").glob("*.csv")}
    asked = Run.open(run / "robustness/pgd-0.5").store.array("attacked")
    main(["robustness", str(run), *GIVEN, "--claims", CLAIM, "new_share_difference:blur:5 < 2", "--quiet"])
    assert {path: path.read_bytes() for path in before} == before
    assert sum(forwards) == 0
    assert np.array_equal(Run.open(run / "robustness/pgd-0.5").store.array("attacked"), asked)


def test_attacked_inputs_stay_near_and_within_black_and_white(run, trained):
    network = models.load("small:cnn", str(trained / "after.safetensors"))
    clean, moved = (inputs_of(run, name, network) for name in ("clean", "pgd:0.5"))
    ulps = 1e-6  # of numbers of about 3, in float32
    assert EPS / 2 < (moved - clean).abs().max() <= EPS + ulps
    mean, std = network.preprocess.mean[0], network.preprocess.std[0]
    assert moved.min() >= (0 - mean) / std - ulps
    assert moved.max() <= (1 - mean) / std + ulps


def test_an_attack_by_definition(trained):
    network = models.load("small:cnn", str(trained / "after.safetensors"))
    network.model.double()
    inputs = data.load(data.fashion_mnist_path("test")).sample(3, 1, "coarse")
    labels, _ = inputs.level("coarse")
    clean = network.preprocess(list(inputs.items)).double()
    layout = Layout({"after": clean}, {"after": Players.grid(28, 28, 2, 2)}, {"after": "zeros"})
    found = attacked(EPS, "log_odds", {"after": network}, {"after": labels.tolist()}, layout)
    mean, std = (torch.tensor(getattr(network.preprocess, name)) for name in ("mean", "std"))
    black, white = float(-mean / std), float((1 - mean) / std)  # in float32, as pixels come: ties stay ties
    x = clean
    for _ in range(20):
        x = x.clone().requires_grad_()
        z = network.model(x)  # all together, as there: a batch of one adds in another order
        score = 0.0
        for game, label in enumerate(labels.tolist()):
            others = torch.stack([z[game, k] for k in range(4) if k != label])
            score = score + z[game, label] - torch.logsumexp(others, 0)
        (slope,) = torch.autograd.grad(score, x)
        x = x.detach() - EPS / 8 * slope.sign()
        x = torch.minimum(torch.maximum(x, clean - EPS), clean + EPS).clamp(black, white)
    # The same steps in float64, but where a slope is 0 up to rounding: its sign is then of the rounding.
    apart = (found.tensors["after"] - x).abs() > 1e-9
    assert apart.double().mean() < 0.02
    assert found.arrays["images"].shape == (3, 28, 28, 3)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--corruptions", "fog:1"], "there is no corruption 'fog' of image inputs"),
        (["--corruptions", "case:1"], "there is no corruption 'case' of image inputs"),
        (["--corruptions", "blur:9"], "the severity of blur is 9"),
        (["--attacks", "0"], "--attacks is 0: expected how far"),
        (["--attacks", "-0.1"], "--attacks is -0.1: expected how far"),
        (["--attacks", "nan"], "--attacks is nan: expected how far"),
        (["--attacks", "0.1", "0.1"], "expected corruptions or attacks, each once"),
        (["--corruptions", "blur:1", "--claims", "accuracy:old:clean > 0"], "names 'accuracy:old:clean'"),
        (["--corruptions", "blur:1", "--claims", "accuracy:new:fog:1 > 0"], "names 'accuracy:new:fog:1'"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_computed(more, said, refused, run, forwards):
    before = sorted((run / "robustness").rglob("*"))
    assert said in refused("robustness", run, *more)
    assert sorted((run / "robustness").rglob("*")) == before
    assert sum(forwards) == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label": "predicted"}, "explains predicted labels"),
        ({"corruption": "blur:1"}, "changed already, by --corruption"),
        ({"attack": 0.1}, "changed already, by --attack"),
        ({"choose": "influence"}, "compare with --choose random"),
        ({"score": "output"}, "about one class an input"),
    ],
)
def test_runs_that_cannot_be_asked(change, said, refused, run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("robustness"))
    Compare(**read_study(folder / "study.toml", Compare) | change).write(folder / "study.toml")
    assert said in refused("robustness", folder)
    assert not (folder / "robustness").exists()


def test_a_run_without_outputs_and_a_folder_of_another_command(refused, run, trained, tmp_path):
    plain = compared(trained, tmp_path / "plain")
    assert "--keep-outputs" in refused("robustness", plain)
    (tmp_path / "track").mkdir()
    (tmp_path / "track/study.toml").write_text('series = ["a=b"]', encoding="utf-8")
    assert "robustness takes the folder of a comparison" in refused("robustness", tmp_path / "track")
    assert "holds no study" in refused("robustness", tmp_path / "nowhere")


def test_networks_that_are_given_other_numbers_are_not_attacked(trained):
    network = models.load("small:cnn", str(trained / "after.safetensors"))
    given = {"before": torch.zeros(1, 1, 28, 28), "after": torch.ones(1, 1, 28, 28)}
    with pytest.raises(ValueError, match="before and after are given different numbers"):
        attacked(0.1, "logit", {"before": network, "after": network}, {"after": [0]}, Layout(given, {}, {}))


@pytest.mark.usefixtures("no_pixels")
def test_sentences(berts, refused, tmp_path):
    named = [f"--{name}={berts / name}" for name in ("before", "after")]
    words = ["--text-column=question", "--label-columns=verdict", "--inputs=6", "--players=words:3"]
    study = [f"--model=transformers:{berts / 'before'}", *named, f"--data={berts / 'questions.csv'}", *words]
    folder = tmp_path / "run"
    assert "--attack is for image inputs" in refused("compare", *study, "--attack=0.1", f"--out={folder}")
    main(["compare", *study, "--method=and", "--keep-outputs", f"--out={folder}", "--quiet"])
    assert "these inputs are sentences" in refused("robustness", folder, "--attacks", "0.1")
    assert "there is no corruption 'blur' of text inputs" in refused(
        "robustness", folder, "--corruptions", "blur:3"
    )
    main(["robustness", str(folder), "--quiet"])
    table = read_table(folder / "robustness/robustness.h5")
    assert set(table.variation) == {"clean", "swapped_letters:3", "dropped_words:3", "case:3"}
