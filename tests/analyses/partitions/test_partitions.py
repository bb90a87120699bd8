"""Merges and replacements of a finished run, against networks that are asked again and literal loops."""

import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from harsanyi import data, models
from harsanyi.analyses import Run, compare, read_study, read_table
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.partitions.measures import Measure, measures_table
from harsanyi.analyses.partitions.merges import merges_of
from harsanyi.analyses.partitions.report import partition_figures
from harsanyi.analyses.study.study import Compare
from harsanyi.interactions import (
    And,
    Interactions,
    MaskedModel,
    Players,
    ReplacedModel,
    evaluate,
    extract,
    neighbours,
    shuffled,
)
from tests import reference
from tests.alternatives import captions_alone
from tests.legible import faults, tables_in

INPUTS, N = 10, 5
REPLACEMENTS = ("marginal", "independent", "nearest", "normal")
VARIED = ["--replacements", *REPLACEMENTS, "--shuffle", "--draws", "2", "--others", "40"]
MERGES = ["--merges", "neighbours", "apart", "grid:2x2", "0+3,1+2"]
CLAIM = "preserved_share:neighbours - preserved_share:clean > -0.5"
# Scores in float32 of another batch, relative to effects of size one to ten.
FLOAT32 = 2e-4


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with before, trained on the clothes upside down, and after, trained on from there."""
    folder = tmp_path_factory.mktemp("trained")
    inputs = data.load(data.fashion_mnist_path("train")).sample(120, 0, "coarse")
    labels, classes = inputs.level("coarse")
    network = models.load("small:cnn", "random", classes=classes, seed=0)
    pixels, targets = network.preprocess(list(inputs.items)), torch.tensor(labels)
    for name, given in (("before", pixels.flip(2)), ("after", pixels)):
        optimiser = torch.optim.Adam(network.model.parameters(), lr=3e-3)
        network.model.train()
        for step in range(12):
            rows = slice(40 * (step % 3), 40 * (step % 3) + 40)
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
            *("--level=coarse", f"--inputs={INPUTS}", f"--players=grid:2x4:{N}", "--quiet"),
            *(f"--out={out}", *more),
        ]
    )
    return out


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory) -> Path:
    folder = compared(trained, tmp_path_factory.mktemp("partitions") / "run", "--method=and")
    main(["partitions", str(folder), *MERGES, *VARIED, "--claims", CLAIM, "--quiet"])
    return folder


@pytest.fixture(scope="module")
def sparse(trained, tmp_path_factory) -> Path:
    folder = compared(trained, tmp_path_factory.mktemp("partitions") / "sparse")
    main(["partitions", str(folder), "--quiet"])
    return folder


def networks_of(trained: Path, run: Path) -> dict[str, tuple[models.Network, torch.Tensor, list[int]]]:
    """Each network with what it is given of the run's inputs, and their labels."""
    inputs = data.load(data.fashion_mnist_path("test")).sample(INPUTS, 0, "coarse")
    labels, _ = inputs.level("coarse")
    found = {}
    for name in ("before", "after"):
        network = models.load("small:cnn", str(trained / f"{name}.safetensors"))
        found[name] = (network, network.preprocess(list(inputs.items)), labels.tolist())
    return found


def owner_of(run: Path) -> torch.Tensor:
    return torch.from_numpy(Run.open(run).store.array("owner")).long()


def test_shares_after_a_merge_are_those_of_networks_that_are_asked_with_the_merged_players(run, trained):
    table = read_table(run / "partitions/merges.h5")
    table = table[table.network == ""].set_index(["variation", "quantity"])
    owner = owner_of(run)
    for name, group_of in {"0+3,1+2": [0, 1, 1, 0, 2], "grid:2x2": None}.items():
        if group_of is None:  # by the place of each player's first pixel in the coarser grid
            coarse = Players.grid(28, 28, 2, 2).owner
            cells = [int(coarse[owner == player][0]) for player in range(N)]
            group_of = [sorted(set(cells)).index(cell) for cell in cells]
        merged = torch.tensor([*group_of, -1])[owner]
        players = Players(merged, len(set(group_of)), axis=-2)
        sides = {
            of: extract(MaskedModel(net.model, x, players, labels=y), And(), progress=False)
            for of, (net, x, y) in networks_of(trained, run).items()
        }
        change = compare(**sides)
        for quantity, whole in (
            ("preserved", "all_before"),
            ("discarded", "all_before"),
            ("new", "all_after"),
        ):
            expected = (getattr(change, quantity).sum() / getattr(change, whole).sum()).item()
            # A salient effect may lie so near to the limit that rounding decides.
            assert table.loc[(name, f"{quantity}_share"), "value"] == pytest.approx(expected, abs=0.01)


def test_neighbours_part_by_definition(run):
    opened, owner = Run.open(run), owner_of(run)
    adjacency = neighbours(owner, N)
    pairs = list(combinations(range(N), 2))
    chance = sum(bool(adjacency[pair]) for pair in pairs) / len(pairs)
    table = read_table(run / "partitions/neighbours.h5")
    table = table[table.variation == "clean"].set_index(["network", "quantity", "order"])
    for name, network in opened.interactions.items():
        sums = {order: [0.0, 0.0] for order in ("all", "2", "3")}
        for game in range(INPUTS):
            effects = network.and_[game].tolist()
            limit = 0.05 * max(map(abs, effects[1:]))
            for players in reference.subsets(tuple(range(N))):
                effect = abs(effects[reference.index(players, N)])
                if len(players) < 2 or effect <= limit:
                    continue
                inside = list(combinations(players, 2))
                share = sum(bool(adjacency[pair]) for pair in inside) / len(inside)
                for order in ("all", str(len(players))):
                    if order in sums:
                        sums[order][0] += effect * share
                        sums[order][1] += effect
        for order, (above, whole) in sums.items():
            row = table.loc[(name, "neighbour_share", order)]
            assert row.value == pytest.approx(above / whole, rel=1e-9)
            assert row.chance == pytest.approx(chance, rel=1e-9)
            assert table.loc[(name, "neighbour_lift", order)].value == pytest.approx(
                above / whole / chance, rel=1e-9
            )


def test_value_tables_of_variations(run, trained):
    clean, owner = Run.open(run), owner_of(run)
    coalitions = [reference.index(players, N) for players in ((), (0, 3), tuple(range(N)))]
    players = Players(owner, N, axis=-2)
    for name, (network, x, y) in networks_of(trained, run).items():
        whole = clean.store.v(name)[:, -1]
        for replacement in REPLACEMENTS:
            v = Interactions.load(run / f"partitions/{replacement}/interactions-{name}.h5").v
            assert torch.allclose(v[:, -1], whole, atol=FLOAT32)  # nobody is absent
            assert not torch.allclose(v[:, 0], clean.store.v(name)[:, 0], atol=0.01)
        moved, _ = shuffled(x, players, 0)
        expected = evaluate(MaskedModel(network.model, moved, players, labels=y), progress=False)
        v = Interactions.load(run / f"partitions/shuffled/interactions-{name}.h5").v
        assert torch.allclose(v[:, coalitions], expected[:, coalitions], atol=FLOAT32)


def test_a_merged_sparse_split_is_no_stronger_than_before_and_no_sparser_than_the_methods_own(sparse):
    table = read_table(sparse / "partitions/merges.h5")
    rows = table[table.network == "after"].set_index(["variation", "quantity"]).value
    for name in {*table.variation} - {"clean"}:
        assert 0 < rows[(name, "split_strength")] <= rows[(name, "summed_strength")] * (1 + 1e-3)
        assert rows[(name, "summed_strength")] <= 1 + 1e-9
        assert 0 < rows[(name, "agreement")] <= 1
    parts = read_table(sparse / "partitions/constituents.h5")
    assert (parts.finer > 0).all()
    assert parts.cancelled.between(-1e-9, 1 + 1e-9).all()
    assert parts.players.str.contains(" & ").any()


def test_merging_nothing_away_agrees_with_itself(run):
    table = read_table(run / "partitions/merges.h5")
    agreement = table[table.quantity == "agreement"]
    assert (agreement.value - 1).abs().max() < 1e-9  # the split of AND alone is linear
    clean = table[(table.variation == "clean") & (table.quantity == "preserved_share")]
    share = Run.open(run).change
    expected = (share.preserved.sum() / share.all_before.sum()).item()
    assert clean.value.tolist() == pytest.approx([expected], rel=1e-9)


def test_means_over_merges(run):
    table = read_table(run / "partitions/merges.h5")
    rows = table[(table.group == "neighbours") & (table.quantity == "summed_strength")]
    rows = rows[rows.network == "after"]
    each, mean = rows[rows.variation != "neighbours"], rows[rows.variation == "neighbours"]
    assert len(each) == int(neighbours(owner_of(run), N).sum()) // 2
    assert mean.value.item() == pytest.approx(each.value.mean(), rel=1e-9)  # all have one denominator


def test_differences_are_paired():
    generator = np.random.default_rng(0)
    clean = generator.random(12)
    measured = [Measure("new_share", "", "all", clean + 0.1, np.ones(12))]
    table = measures_table({"a": measured}, {"a": "a"}, [Measure("new_share", "", "all", clean, np.ones(12))])
    assert table.difference.item() == pytest.approx(0.1)
    assert table.difference_high.item() - table.difference_low.item() < 1e-9  # all inputs move alike


def test_what_is_written(run):
    out = run / "partitions"
    tables = {
        f"{name}.{ending}"
        for name in ("merges", "neighbours", "constituents", "claims")
        for ending in ("csv", "h5")
    }
    assert {path.name for path in out.iterdir()} == {
        *tables,
        *("figures", "report.html", "shuffled", *REPLACEMENTS),
    }
    report = (out / "report.html").read_text(encoding="utf-8")
    for said in ("times chance", "take no forward", "conditional expectation", "two neighbours merged"):
        assert said in report
    assert len(list((out / "figures").glob("*.png"))) == 4
    assert captions_alone(out / "report.html") == []
    assert faults(partition_figures(tables_in(out))) == []
    claims = read_table(out / "claims.h5")
    assert claims.claim.tolist() == [CLAIM]
    assert claims.verdict.tolist() == ["holds"]


def test_a_second_run_asks_no_network_and_writes_the_same(run, forwards, monkeypatch):
    before = {path: path.read_bytes() for path in (run / "partitions").glob("*.csv")}
    monkeypatch.setattr(ReplacedModel, "scores", lambda *_: pytest.fail("a masked input was asked"))
    main(["partitions", str(run), *MERGES, *VARIED, "--claims", CLAIM, "--quiet"])
    assert {path: path.read_bytes() for path in before} == before
    assert sum(forwards) == 0


def test_merges_alone_ask_no_network(sparse, forwards, monkeypatch):
    monkeypatch.setattr(models, "load", lambda *_: pytest.fail("a network was loaded"))
    main(["partitions", str(sparse), "--merges", "neighbours", "--quiet"])
    assert sum(forwards) == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--merges", "all"], "--merges 'all' says not what to merge"),
        (["--merges", "3"], "--merges '3' says not what to merge"),
        (["--merges", "0+9"], "there is no player 9: the 5 players are 0 to 4"),
        (["--merges", "0+1,1+2"], "player 1 is in more than one place"),
        (["--merges", "APART"], "are no neighbours"),
        (["--merges", "apart", "apart"], "expected merges, each once"),
        (["--merges", "grid:1x7"], "of the finer map lies in"),
        (["--merges", "grid:3x3"], "does not divide an image of 28x28 pixels"),
        (["--replacements", "mean"], "--replacements 'mean' is no replacement"),
        (["--replacements", "normal", "normal"], "expected replacements, each once"),
        (["--draws", "0"], "--draws is 0: expected 1 or more"),
        (["--others", "0"], "--others is 0: expected 1 or more"),
        (["--claims", "preserved_share:nearest > 0"], "names 'preserved_share:nearest'"),
        (["--claims", "top_kept:clean:after > 0"], "names 'top_kept:clean:after'"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_computed(more, said, refused, run, forwards):
    if more[1] == "APART":
        adjacency = neighbours(owner_of(run), N)
        pair = next(pair for pair in combinations(range(N), 2) if not adjacency[pair])
        more = ["--merges", "+".join(map(str, pair))]
    before = sorted((run / "partitions").rglob("*"))
    assert said in refused("partitions", run, *more)
    assert sorted((run / "partitions").rglob("*")) == before
    assert sum(forwards) == 0


@pytest.mark.parametrize(
    ("change", "given", "said"),
    [
        ({"corruption": "blur:1"}, ["--replacements", "normal"], "changed, by --corruption"),
        ({"layer": "0"}, ["--shuffle"], "masks a layer: compare without --layer"),
        ({"players": "superpixels:5"}, ["--shuffle"], "cells of a grid, and those of"),
        ({"choose": "influence"}, ["--shuffle"], "is for --choose random"),
    ],
)
def test_runs_that_cannot_be_varied(change, given, said, refused, run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("partitions"))
    Compare(**read_study(folder / "study.toml", Compare) | change).write(folder / "study.toml")
    assert said in refused("partitions", folder, *given)


def test_a_folder_of_another_command(refused, tmp_path):
    (tmp_path / "track").mkdir()
    (tmp_path / "track/study.toml").write_text('series = ["a=b"]', encoding="utf-8")
    assert "partitions takes the folder of a comparison" in refused("partitions", tmp_path / "track")
    assert "holds no study" in refused("partitions", tmp_path / "nowhere")


def test_players_of_each_input(trained, tmp_path):
    folder = compared(trained, tmp_path / "run", "--method=and", "--players=superpixels:4")
    run = Run.open(folder)
    merges = merges_of(run, ["neighbours"])
    assert {len(merge.partitions) for merge in merges} == {INPUTS}
    for merge in merges:
        for game, partition in enumerate(merge.partitions):
            (pair,) = [group for group in partition.groups if len(group) == 2]
            owner = torch.from_numpy(run.store.array("owner"))[game].long()
            assert neighbours(owner, 4)[pair]
    main(["partitions", str(folder), "--merges", "neighbours", "--replacements", "normal", "--quiet"])
    assert {*read_table(folder / "partitions/neighbours.h5").variation} == {"clean", "normal"}


@pytest.mark.usefixtures("no_pixels")
def test_sentences(berts, refused, tmp_path):
    named = [f"--{name}={berts / name}" for name in ("before", "after")]
    words = ["--text-column=question", "--label-columns=verdict", "--inputs=6", "--players=words:5"]
    folder = tmp_path / "run"
    main(
        [
            *(
                "compare",
                f"--model=transformers:{berts / 'before'}",
                *named,
                f"--data={berts / 'questions.csv'}",
            ),
            *(*words, "--method=and", f"--out={folder}", "--quiet"),
        ]
    )
    assert "is for patches of pictures" in refused("partitions", folder, "--replacements", "normal")
    assert "is for pictures" in refused("partitions", folder, "--merges", "grid:2x2")
    main(["partitions", str(folder), "--merges", "neighbours", "--quiet"])
    parts = read_table(folder / "partitions/constituents.h5")
    assert parts.players.str.contains(" & ").any()
