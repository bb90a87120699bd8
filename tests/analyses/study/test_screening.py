"""A study whose players are chosen by influence: from checkpoints to report, and again without a forward."""

import json
import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from harsanyi import data
from harsanyi.analyses import Compare, Reliability, Run
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.comparison.comparison import run_comparison
from harsanyi.analyses.origins.report import run_origins
from harsanyi.analyses.run.compute import compute
from harsanyi.analyses.run.notes import approximation
from harsanyi.analyses.statistics.bootstrap import ratio_interval
from harsanyi.analyses.study.prepare import prepare
from harsanyi.analyses.study.screening import HELD_OUT_COALITIONS, INFLUENCE_COALITIONS
from harsanyi.interactions import coalition_masks, evaluate
from harsanyi.interactions.many_players.influence import exact_game_density, influences

# The same scores in batches of other sizes: float32 forwards of outputs of size 1.
FLOAT32 = 1e-4


@pytest.fixture(scope="module")
def study(comparison, tmp_path_factory) -> Compare:
    return comparison(tmp_path_factory.mktemp("runs") / "chosen", players="grid:7x7:4", choose="influence")


@pytest.fixture(scope="module")
def run(study) -> Run:
    summary = run_comparison(study, progress=False)
    assert summary[-1].startswith("APPROXIMATE: 4 of 49 cells chosen by influence")
    return Run.open(study.out)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".png"
    }


def test_both_networks_have_the_players_of_the_largest_summed_shares(study, run):
    whole = prepare(replace(study, players="grid:7x7", choose="random"))
    density = exact_game_density(49, 4)
    total = torch.zeros(3, 49, dtype=torch.float64)
    for name in ("before", "after"):
        found = influences(whole.game(name), INFLUENCE_COALITIONS, density=density, seed=0).influence
        total += found / found.sum(1, keepdim=True)
    kept = [sorted(row.argsort(descending=True)[:4].tolist()) for row in total]
    assert run.store.settings["kept"] == kept
    assert len({tuple(row) for row in kept}) > 1
    owner = run.store.array("owner")
    assert owner.shape == (3, 28, 28)
    for game, row in enumerate(kept):
        cells = np.arange(28)[:, None] // 4 * 7 + np.arange(28) // 4
        for player, cell in enumerate(row):
            assert ((owner[game] == player) == (cells == cell)).all()


def test_tables_are_those_of_all_players_with_the_others_present(study, run):
    whole = prepare(replace(study, players="grid:7x7", choose="random")).game("after")
    for game, row in enumerate(run.store.settings["kept"]):
        everyone = torch.ones(16, 49, dtype=torch.bool)
        everyone[:, row] = coalition_masks(4)
        literal = evaluate(whole, everyone, games=[game], progress=False)[0]
        assert (literal - run.store.v("after")[game]).abs().max() < FLOAT32


def test_the_table_says_what_is_left_unexplained(study, run):
    table = pd.read_csv(study.out / "screening.csv")
    assert table.network.tolist() == ["before"] * 3 + ["after"] * 3
    assert set(table.all_players) == {49}
    assert set(table.coalitions) == {HELD_OUT_COALITIONS}
    assert table.players.tolist() == [" ".join(map(str, row)) for row in run.store.settings["kept"]] * 2
    assert np.allclose(table.held_out_error, table.mean_square / table.variance, rtol=1e-12)
    assert (table.influence > 4 / 49).all()  # more than four cells drawn at random would have on average
    assert (table.influence < 1).all()
    assert (table.standard_error > 0).all()


def test_the_report_marks_it_as_approximate(study, run):
    report = (study.out / "report.html").read_text(encoding="utf-8")
    assert "APPROXIMATE: 4 of 49 cells chosen by influence" in report
    table = pd.read_csv(study.out / "screening.csv")
    one = table[table.network == "before"]
    interval = ratio_interval(one[["mean_square"]].to_numpy(), one[["variance"]].to_numpy())[0]
    assert f"{interval.value:.0%} [{interval.low:.0%}, {interval.high:.0%}] (before)" in report
    assert f"3 inputs, {HELD_OUT_COALITIONS} held-out coalitions" in report
    assert "exact" in report


def test_networks_together():
    table = pd.DataFrame(
        {
            "network": ["a"] * 3 + ["b"] * 3,
            "game": [0, 1, 2] * 2,
            "players": "1 2 3",
            "all_players": 20,
            "coalitions": 9,
            "mean_square": [1.0] * 3 + [3.0] * 3,
            "variance": 4.0,
        }
    )
    assert "leave 50% [50%, 50%] of" in approximation(table, together=True)
    assert "leave 25% [25%, 25%] (a), 75% [75%, 75%] (b) of" in approximation(table)


def test_a_second_run_is_the_same_bytes_without_a_forward(study, run, forwards):
    before = files(study.out)
    run_comparison(study, progress=False)
    assert forwards == []
    assert files(study.out) == before


def test_what_was_measured_is_not_measured_again(study, run, forwards, tmp_path):
    copied = tmp_path / "copy"
    shutil.copytree(study.out, copied)
    again = replace(study, out=copied)
    kept = json.loads((copied / "screening.json").read_text(encoding="utf-8"))
    del kept["held_out"]["after"]
    (copied / "screening.json").write_text(json.dumps(kept), encoding="utf-8")
    compute(again, progress=False)
    assert (
        sum(forwards) == 3 * HELD_OUT_COALITIONS + 2
    )  # of all players and of those chosen, one to try the games on
    for name in ("screening.json", "screening.csv", "values.h5"):
        assert (copied / name).read_bytes() == (study.out / name).read_bytes(), name
    (copied / "screening.json").write_text("{", encoding="utf-8")
    compute(again, progress=False)
    assert (copied / "screening.json").read_bytes() == (study.out / "screening.json").read_bytes()


def test_the_middle_of_a_grid_may_be_chosen_from(study, tmp_path):
    games = prepare(replace(study, players="grid:7x7:3:2x3", out=tmp_path / "middle"))
    assert games.all_players is not None
    assert (games.n, games.all_players.n) == (3, 6)


@pytest.mark.parametrize("players", ["grid:7x7", "superpixels:6"])
def test_other_players_cannot_be_chosen_so(study, players, tmp_path):
    with pytest.raises(ValueError, match="--choose influence chooses K cells of a grid, words or tokens"):
        prepare(replace(study, players=players, out=tmp_path / "run"))


def test_reliability_compares_the_same_players(study, tmp_path):
    asked = {field.name: getattr(study, field.name) for field in fields(study)}
    with pytest.raises(ValueError, match="reliability takes --choose random"):
        Reliability(**asked | {"out": tmp_path / "run"}).require_sense()


def test_more_than_there_are(study, tmp_path):
    with pytest.raises(ValueError, match="grid:7x7:50 asks for 50: expected 40 at most"):
        prepare(replace(study, players="grid:7x7:50", out=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_one_networks_command_says_so(study, checkpoints, tmp_path, capsys):
    options = ["--model=small:cnn", f"--checkpoint={checkpoints / 'before.safetensors'}", "--level=coarse"]
    chosen = ["--inputs=2", "--players=grid:4x4:3", "--choose=influence", f"--out={tmp_path / 'run'}"]
    main(["compute", *options, f"--data={data.fashion_mnist_path('test')}", *chosen])
    said = capsys.readouterr().out
    assert "\nAPPROXIMATE: 3 of 16 cells chosen by influence in each input" in said
    assert "(2 inputs, 256 held-out coalitions of each)" in said
    assert 'choose = "influence"' in (tmp_path / "run" / "study.toml").read_text(encoding="utf-8")


def test_runs_with_other_players_of_the_same_grid_are_not_compared_game_by_game(study, run, tmp_path):
    by_lot = replace(study, choose="random", out=tmp_path / "by_lot")
    run_comparison(by_lot, progress=False)
    said = run_origins([f"one={study.out}", f"two={by_lot.out}"], tmp_path / "both")
    assert "Not all origins have the same games (two against one: players chosen: " in " ".join(said)
    assert not (tmp_path / "both" / "similarities.h5").exists()
