"""What results say of themselves: names, units, tables in words, files that explain themselves."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from harsanyi.interactions import About, And, Interactions, MaskedModel, Players, SparseAndOr, extract

FILES = Path(__file__).parent / "files"


@pytest.fixture
def game():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    about = About(inputs=("a.png", "b.png"), classes=("cat", "dog", "cow"), network="before")
    players = Players.grid(4, 4, 2, 2).choose(3, seed=0)
    return MaskedModel(net, torch.randn(2, 1, 4, 4), players, labels=[0, 2], about=about)


def test_a_game_knows_what_it_is_about(game):
    about = extract(game, And(), progress=False).about
    kept = [
        int(game.players.owner.eq(i).nonzero()[0].div(2, rounding_mode="floor") @ torch.tensor([2, 1]))
        for i in range(3)
    ]
    cells = ["row 1, column 1", "row 1, column 2", "row 2, column 1", "row 2, column 2"]
    assert about.players == (tuple(cells[i] for i in kept),)
    assert about.labels == ("cat", "cow")
    assert (about.network, about.score, about.unit, about.plan) == (
        "before",
        "log_odds",
        "log-odds, nats",
        "dense",
    )
    other = game.changed(labels=[1, 1]).about
    assert (other.labels, other.inputs) == (("dog", "dog"), ("a.png", "b.png"))
    assert game.changed(inputs=torch.zeros(2, 1, 4, 4)).about.inputs == ()


def test_words_are_the_players_of_sentences():
    owner = torch.tensor([[-1, 0, 1], [0, 1, -1]])
    names = (("not", "good"), ("very", "bad"))
    players = Players(owner, 2, axis=0, per_game=True, names=names)
    game = MaskedModel(
        lambda x: x.sum(1, keepdim=True), torch.ones(2, 3), players, labels=[0, 0], score="output"
    )
    interactions = extract(game, And(), progress=False)
    assert interactions.select([1]).table(top=1).players.item() in ("very", "bad", "very + bad")
    assert interactions.about.together((0, 1), game=1) == "very + bad"


@pytest.mark.parametrize("chosen", [slice(1, None), [1], torch.tensor([False, True]), np.array([1])], ids=str)
def test_a_selection_keeps_its_names(game, chosen):
    interactions = extract(game, SparseAndOr(ranges=1), progress=False)
    part = interactions.select(chosen)
    assert part.about.inputs == ("b.png",)
    assert part.about.labels == ("cow",)
    assert part.about.players == interactions.about.players


def test_batches_are_joined_and_selected_again(game):
    interactions = extract(game, SparseAndOr(ranges=1), progress=False)
    joined = Interactions.joined([interactions.select([1]), interactions, interactions.select([0])])
    assert joined.about.inputs == ("b.png", "a.png", "b.png", "a.png")
    assert torch.equal(joined.and_, interactions.and_[[1, 0, 1, 0]])
    assert torch.equal(joined.ranges.lowest, interactions.ranges.lowest[[1, 0, 1, 0]])
    unnamed = extract(interactions.v, And())
    with pytest.raises(ValueError, match="one method"):
        Interactions.joined([interactions, unnamed])
    other = extract(interactions.v, SparseAndOr(ranges=1), about=About(network="after"))
    with pytest.raises(ValueError, match="one network, got before, after"):
        Interactions.joined([interactions, other])


def test_rows_of_players_are_joined_where_games_differ():
    v = torch.zeros(1, 4, dtype=torch.float64)
    parts = [extract(v, And(), about=About(players=(row,))) for row in (("a", "b"), ("c", "d"))]
    parts.append(extract(v, And()))
    joined = Interactions.joined(parts).about
    assert joined.players == (("a", "b"), ("c", "d"), ("player 0", "player 1"))
    assert joined.inputs == ()


def test_table_in_words(game):
    interactions = extract(game, SparseAndOr(noise=0.0, ranges=2), progress=False)
    table = interactions.table(top=3)
    columns = "game input label network order kind players effect lowest highest salient"
    assert set(table.columns) == set(columns.split())
    assert len(table) == 6
    for number, items in enumerate(interactions.top(3)):
        rows = table[table.game == number]
        assert rows.input.unique().tolist() == [("a.png", "b.png")[number]]
        assert rows.effect.tolist() == [item.effect for item in items]
        assert rows.order.tolist() == [item.order for item in items]
        assert rows.lowest.notna().tolist() == [item.range is not None for item in items]
        limit = interactions.salient().limit[number]
        assert rows.salient.tolist() == [abs(item.effect) > limit for item in items]
    assert len(interactions.table(top=None)) == 2 * 2 * 7


@pytest.mark.usefixtures("unchecked")
def test_names_of_other_games_are_refused():
    v = torch.zeros(2, 4, dtype=torch.float64)
    with pytest.raises(ValueError, match="names of the inputs of 2 games, got 1"):
        extract(v, And(), about=About(inputs=("a",)))
    with pytest.raises(ValueError, match="names of 2 players"):
        extract(v, And(), about=About(players=(("a", "b", "c"),)))


def test_a_file_explains_itself_to_h5py_alone(game, tmp_path):
    interactions = extract(game, SparseAndOr(ranges=2), progress=False)
    interactions.save(tmp_path / "i.h5")
    read = """
import h5py, json, sys
with h5py.File(sys.argv[1]) as file:
    print(json.dumps({
        "description": file.attrs["description"],
        "players": file["about/players"].asstr()[()].tolist(),
        "inputs": file["about/inputs"].asstr()[()].tolist(),
        "unit": file["and_"].attrs["unit"],
        "axes": [axis.label for axis in file["v"].dims],
        "each": {name: file[name].attrs["description"] for name in ("and_", "or_", "v", "gap", "ranges/low")},
        "plan": file["about"].attrs["plan"],
    }))
"""
    ran = subprocess.run([sys.executable, "-c", read, tmp_path / "i.h5"], capture_output=True, check=True)
    told = json.loads(ran.stdout)
    assert "2 games of 3 players" in told["description"]
    assert told["players"] == [list(row) for row in interactions.about.players]
    assert (told["inputs"], told["unit"], told["axes"]) == (
        ["a.png", "b.png"],
        "log-odds, nats",
        ["game", "coalition"],
    )
    assert told["plan"] == "dense"
    assert all(told["each"].values())
    back = Interactions.load(tmp_path / "i.h5")
    assert back.about == interactions.about
    assert repr(back) == repr(interactions)


def test_the_description_is_true(game, tmp_path):
    """v(T), put together from the file's own words: columns by bits, AND inside T, OR that meet T."""
    extract(game, SparseAndOr(noise=0.0), progress=False).save(tmp_path / "i.h5")
    with h5py.File(tmp_path / "i.h5") as file:
        and_, or_, v = (file[name][1] for name in ("and_", "or_", "v"))
    for t in range(8):
        inside = sum(and_[s] for s in range(8) if s & t == s)
        meeting = sum(or_[s] for s in range(8) if s & t)
        assert inside + or_[0] + meeting == pytest.approx(v[t], abs=1e-9)  # sums of 16 float64 numbers


def test_files_of_older_versions_are_read():
    old = Interactions.load(FILES / "interactions_of_0.1.0.h5")
    v = torch.randn(2, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(old.v, v)
    assert old.about == About()
    assert old.ranges.effect.shape == (2, 2)
    assert old.table(top=1).players.tolist() == ["player 0 + player 2", "player 0 + player 1 + player 2"]
    assert old.top(1)[0][0].effect == pytest.approx(0.933522101286603)


def test_files_of_the_first_version_are_read():
    """Before there were ranges and names: what its sparse split explains is the table, up to its noise."""
    old = Interactions.load(FILES / "interactions_of_the_first_version.h5")
    assert (old.games, old.n, old.ranges, old.about) == (3, 4, None, About())
    assert old.method_in_words.startswith("sparsest AND and OR to 0.1%")
    for game in range(3):
        and_, or_, v = old.and_[game], old.or_[game], old.v[game]
        allowed = 0.04 * abs(v[-1] - v[0]) + 1e-9  # its noise, and rounding
        for t in range(16):
            inside = sum(and_[s] for s in range(16) if s & t == s)
            meeting = sum(or_[s] for s in range(16) if s & t)
            assert abs(inside + or_[0] + meeting - v[t]) <= allowed
