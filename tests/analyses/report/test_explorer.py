"""The explorer's data: unpacked by a literal reader, at the precision that it states, within its size."""

import base64
import json
import zlib

import numpy as np
import pytest
import torch

from harsanyi.analyses.report import page
from harsanyi.analyses.report.explorer import MAX_BYTES, Explorer, packed
from harsanyi.interactions import And, AndOr, SparseAndOr, extract


def explorer(*interactions, **more) -> Explorer:
    names = [f"network {i}" for i in range(len(interactions))]
    games = interactions[0].games
    words = [(f"w{player}", player) for player in range(interactions[0].n)]
    options = {"sentences": [words] * games} | more
    return Explorer(
        unit="nats",
        exact=True,
        threshold=0.05,
        titles=[f"input {game}" for game in range(games)],
        interactions=dict(zip(names, interactions, strict=True)),
        groups={name: {None: name} for name in names},
        pair=tuple(names[:2]),
        **options,
    )


def table(games: int, n: int, seed: int, scale: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(games, 2**n, generator=generator, dtype=torch.float64)


def unpacked(found, networks: int, n: int) -> np.ndarray:
    """The numbers `(networks, games, 3, 2**n)`, read byte by byte."""
    data = zlib.decompress(base64.b64decode(found.tables))
    count = networks * found.games * 3 * 2**n
    numbers = []
    for i in range(count):
        unsigned = sum(data[at] << 8 * place for place, at in enumerate(range(i, len(data), count)))
        numbers.append(-(unsigned + 1) // 2 if unsigned % 2 else unsigned // 2)
    return found.step * np.array(numbers, float).reshape(networks, found.games, 3, 2**n)


@pytest.mark.parametrize("method", [And(), AndOr(), SparseAndOr(noise=0.1)], ids=str)
def test_numbers_come_back_at_the_stated_precision(method):
    n = 3
    networks = [extract(table(2, n, seed, scale=7.0), method) for seed in (0, 1)]
    found = packed(explorer(*networks))
    assert found.games == 2
    assert found.error <= 7 * 4 * 2.0**-19  # a share of the largest, below 4 of these standard deviations
    for network, (ands, ors, rest) in zip(networks, unpacked(found, 2, n).transpose(0, 2, 1, 3), strict=True):
        assert np.abs(ands - network.and_.numpy()).max() <= found.error
        assert np.abs(ors - network.or_.numpy()).max() <= found.error
        for game in range(2):
            for present in range(2**n):
                score = ors[game, 0] + rest[game, present]
                for s in range(2**n):
                    score += ands[game, s] * (s & present == s) + ors[game, s] * (s & present != 0)
                assert abs(score - network.v[game, present].item()) <= found.error


def test_a_run_of_fifty_inputs_and_twelve_players_fits():
    # Numbers without any structure are the worst that compression can meet.
    networks = [extract(table(50, 12, seed), AndOr()) for seed in range(3)]
    found = packed(explorer(*networks))
    assert found.games == 50
    assert len(found.words) + len(found.tables) <= MAX_BYTES
    largest = max(network.effects.abs().max().item() for network in networks)
    assert found.error < 1e-3 * largest


def test_what_does_not_fit_is_left_out():
    whole = explorer(extract(table(8, 6, 0), AndOr()), extract(table(8, 6, 1), AndOr()))
    size = len(packed(whole).tables)
    fewer = packed(whole, budget=size // 2)
    assert 0 < fewer.games < 8
    assert len(fewer.words) + len(fewer.tables) <= size // 2
    assert packed(whole, budget=100) is None


def test_words_hold_what_the_page_needs():
    groups = {"run": {0: "network 0", 7: "network 1"}}
    images = np.zeros((2, 4, 4, 3), np.uint8)
    owner = np.arange(4).reshape(2, 2).repeat(2, 0).repeat(2, 1)
    networks = [extract(table(2, 4, seed), And()) for seed in (0, 1)]
    more = {"images": images, "owner": owner, "sentences": ()}
    made = Explorer(
        unit="nats",
        exact=False,
        threshold=0.1,
        titles=["a", "b"],
        interactions=dict(zip(("network 0", "network 1"), networks, strict=True)),
        groups=groups,
        pair=("run", "run"),
        names={"run": "the run"},
        **more,
    )
    words = json.loads(zlib.decompress(base64.b64decode(packed(made).words)))
    assert words["groups"] == [{"name": "run", "title": "the run", "steps": [0, 7], "networks": [0, 1]}]
    assert words["size"] == [4, 4]
    assert words["players"][0][3] == {"path": "M2 2h2v2h-2z", "place": "bottom right"}
    assert words["background"] == [""]
    assert len(words["pictures"]) == 2


HOSTILE = "\u202e</script><img src=x>\x1b[31m\x00\"'&caf\udce9 日本 שלום 👩\u200d🔬"
SHOWN = "\\u202e</script><img src=x>\\x1b[31m\\x00\"'&caf\\xe9 日本 שלום 👩\u200d🔬"


def test_names_are_packed_as_they_are_shown():
    """Controls and marks that turn text are escapes, as in all else of the page; every other letter stays."""
    one = extract(table(1, 1, 0), And())
    made = Explorer(
        unit=HOSTILE,
        exact=True,
        threshold=0.05,
        titles=[HOSTILE],
        interactions={HOSTILE: one},
        groups={HOSTILE: {None: HOSTILE}},
        pair=(HOSTILE,),
        names={HOSTILE: HOSTILE},
        sentences=[[(HOSTILE, 0)]],
    )
    text = zlib.decompress(base64.b64decode(packed(made).words)).decode("ascii")
    words = json.loads(text)
    assert words["unit"] == words["titles"][0] == words["sentences"][0][0][0] == SHOWN
    assert words["networks"] == words["pair"] == [SHOWN]
    assert words["groups"] == [{"name": SHOWN, "title": SHOWN, "steps": [], "networks": [0]}]


def test_a_report_says_how_many_inputs_it_has(tmp_path, monkeypatch):
    whole = explorer(extract(table(8, 6, 0), AndOr()))
    half = len(packed(whole).tables) // 2
    monkeypatch.setattr(page, "packed", lambda whole: packed(whole, budget=half))
    path = page.write_report(tmp_path / "a.html", page.Report(title="", headline="", explorer=whole))
    text = path.read_text(encoding="utf-8")
    assert "of the 8 inputs: more do not fit" in text
    assert text.count("<td>network 0</td>") == 8 * 4  # all are in the table for readers without scripts


def test_a_report_without_room_for_one_input_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "packed", lambda whole: packed(whole, budget=100))
    report = page.Report(title="", headline="", explorer=explorer(extract(table(1, 6, 0), AndOr())))
    text = page.write_report(tmp_path / "a.html", report).read_text(encoding="utf-8")
    assert "too large for an explorer" in text
    assert "<script" not in text
    assert 'id="explorer' not in text
