"""What is said of objects: in a line, and on an escaped page."""

import html.parser

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import harsanyi as hs
from harsanyi.analyses.training.trajectory import Trajectory
from harsanyi.data import Inputs
from harsanyi.interactions import About, And, MaskedModel, Players, Store, extract, sparse_and_or
from harsanyi.shown import Bar, Card, Shown

HOSTILE = "<script>alert('&')</script>"


def interactions(seed=0):
    v = torch.randn(3, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    about = About(
        inputs=(HOSTILE, "b", "c"), players=((HOSTILE, "good", "film"),), unit="nats", network="net"
    )
    return extract(v, And(), about=about)


def game():
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    about = About(classes=(HOSTILE, "b"))
    return MaskedModel(net, torch.rand(3, 1, 4, 4), Players.grid(4, 4, 2, 2), labels=[0, 1, 1], about=about)


def store(folder):
    about = About(inputs=(HOSTILE, "b"), unit="nats")
    return Store.create(folder / "v.h5", settings={}, networks=["before", "after"], games=2, n=3, about=about)


OBJECTS = {
    "players": lambda folder: Players.grid(4, 4, 2, 2),
    "words": lambda folder: Players(torch.tensor([0, 1]), 2, axis=0, names=((HOSTILE, "good"),)),
    "game": lambda folder: game(),
    "interactions": lambda folder: interactions(),
    "change": lambda folder: hs.compare(interactions(), interactions(1)),
    "network": lambda folder: hs.models.load("small:cnn", "random", classes=[HOSTILE, "dog"]),
    "images": lambda folder: Inputs([Image.new("L", (4, 6))], "image", (HOSTILE,)),
    "inputs": lambda folder: Inputs(["a b", HOSTILE], "text", (HOSTILE, "2")),
    "store": store,
    "fit": lambda folder: sparse_and_or(interactions().v),
    "trajectory": lambda folder: Trajectory(HOSTILE, (0, 5), (interactions(), interactions(1))),
}


class Tags(html.parser.HTMLParser):
    """Opens and closes every tag, and keeps their names."""

    def __init__(self):
        super().__init__()
        self.open, self.names = [], set()

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", OBJECTS)
def test_a_line_and_a_page(name, tmp_path):
    shown = OBJECTS[name](tmp_path)
    line = repr(shown)
    assert line.startswith(f"<{type(shown).__name__}: ")
    assert "\n" not in line
    assert len(line) < 500
    assert "tensor(" not in line
    tags = Tags()
    tags.feed(shown._repr_html_())
    assert not tags.open
    assert tags.names <= {"div", "b", "table", "tr", "th", "td", "img"}


def test_the_line_says_sizes_and_unit():
    line = repr(interactions())
    assert "3 games of 3 players" in line
    assert "unit nats" in line
    strongest = interactions().top(1)[0][0]
    assert f"strongest AND: {interactions().about.together(strongest.players)}"[:30] in line


def test_a_change_says_its_shares():
    before, after = interactions(), interactions(1)
    change = hs.compare(before, after)
    share = float(change.preserved.sum() / change.all_before.sum())
    assert f"preserved, of before {share:.0%}" in repr(change)


def test_nothing_of_nothing():
    empty = interactions().select(slice(0))
    assert "0 games" in repr(empty)
    assert "<b>Interactions</b>" in empty._repr_html_()


def test_bars_and_pictures():
    class Thing(Shown):
        def _card(self):
            bars = [Bar("up", 2.0), Bar("down", -1.0)]
            picture = np.zeros((2, 4, 3), np.uint8)
            return Card("a thing", {"empty": "", "long": "x" * 100}, bars, "bars", lambda: picture)

    assert repr(Thing()) == f"<Thing: a thing; long {'x' * 59}…>"
    page = Thing()._repr_html_()
    assert "width: 100%" in page
    assert "width: 50%" in page
    assert "empty" not in page
    assert "data:image/png;base64," in page
