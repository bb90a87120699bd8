"""What the comparison with peers asks, how seconds are scaled, and what its figure shows of the file."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from benchmarks.masked_images import GRIDS, SIZE, masking, noise, players_of
from benchmarks.peers.__main__ import Timing, difference, timed_answer
from benchmarks.peers.figure import figure_of, figure_rows
from benchmarks.peers.question import Counted, ImageQuestion, masked_scores, question_of
from benchmarks.peers.table import table
from benchmarks.peers.ways import DIFFERENCES, EVERY, FIRST, FURTHER, captum_sampling, moebius
from harsanyi.interactions import And, coalition_masks, evaluate


class Mean(nn.Module):
    """The mean of each channel."""

    def forward(self, images):
        return images.mean((2, 3))


@pytest.fixture
def question() -> ImageQuestion:
    return ImageQuestion(Mean(), noise(), players_of("mean", 4))


@pytest.mark.parametrize("name", ["cells", "resnet18-irregular"])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_players_are_masked_with_zeros(name, layout):
    image, players = noise(), players_of(name, 6)
    coalitions = coalition_masks(6)[[0, 13, 63]]
    expected = image.repeat(3, 1, 1, 1)
    owner = players.owner.reshape(SIZE, SIZE)
    for row, coalition in enumerate(coalitions):
        for player in range(6):
            expected[row, :, owner == player] *= float(coalition[player])
    found = masking(image, players, layout)(coalitions)
    assert torch.equal(found, expected)
    assert found.is_contiguous(memory_format=layout)


def test_each_number_of_players_has_its_cells():
    for n in GRIDS:
        assert players_of("resnet18", n).owner.unique().tolist() == list(range(n))


def test_the_function_of_coalitions_is_the_game_of_harsanyi(question):
    values = masked_scores(Counted(question), question, 3, torch.inference_mode)
    v = evaluate(question.game(), progress=False)[0]
    # Means of 50,176 numbers in float32, summed in two orders.
    np.testing.assert_allclose(values(coalition_masks(4).numpy()), v, atol=1e-6)
    pytest.importorskip("shapiq")
    np.testing.assert_allclose(moebius(values, 4), And()(v[None]).and_[0], atol=1e-5)


def test_zeros_are_answered_when_the_seconds_are_spent_and_the_rest_is_scaled(question):
    network = Counted(question)
    network.begin(limit=1e-9)  # less than any forward takes
    images = question.input.repeat(4, 1, 1, 1)
    answers = [network(images) for _ in range(5)]
    assert [bool(answer.any()) for answer in answers] == [True, False, False, False, False]
    assert all(answer.shape == (4, 3) for answer in answers)
    assert (network.inputs, network.answered, network.scaled) == (20, 4, 5.0)
    assert network.left_out == 4 * network.seconds > 0
    network.begin()
    network(images)
    assert (network.inputs, network.scaled, network.left_out) == (4, 1.0, 0.0)


def test_a_scaled_answer_says_so_and_is_not_compared(question):
    pytest.importorskip("captum")
    whole, part = (timed_answer(captum_sampling(question), 4, limit) for limit in (float("inf"), 1e-9))
    # Three permutations of four players, and the coalition of none.
    assert whole.forwards == part.forwards == 13
    assert whole.scaled == 1.0 < part.scaled
    exact = And()(evaluate(question.game(), progress=False)).and_[0]
    assert difference(whole, exact) < 1e-5  # an additive game: every permutation gives the Shapley values
    assert np.isnan(difference(part, exact))


def test_of_a_sentence_packages_are_asked_for_the_score_of_the_game():
    for name in ("bert-6", "causal-30"):
        question = question_of(name, 12)
        coalitions = coalition_masks(12)[[0, 5, 4095]]
        game, expected = question.game(), []
        for row in coalitions:
            outputs = game.answered(torch.tensor([0]), row[None])
            expected.append(game.scored(outputs, torch.tensor([0])).item())
        for tuned in (True, False):
            network = Counted(question, torch.contiguous_format, tuned=tuned)
            values = masked_scores(network, question, 2, torch.inference_mode)
            # Logits in float32, and their logsumexp over up to 49,152 classes.
            np.testing.assert_allclose(values(coalitions.numpy()), expected, atol=1e-4)


def test_the_largest_difference_leaves_the_empty_coalition_out():
    exact = torch.tensor([9.0, 2.0, -4.0, 1.0], dtype=torch.float64)
    found = exact + torch.tensor([5.0, 0.0, 0.0, 0.2], dtype=torch.float64)
    assert difference(Timing(1.0, 4, 1.0, found), exact) == pytest.approx(0.2 / 4.0)


def test_a_network_by_name_with_a_number_of_players():
    free = question_of("free", 6)
    assert (free.n, free.owner.shape) == (6, (SIZE, SIZE))
    v = evaluate(free.game(), progress=False)[0]
    # The corner pixel is player 0's: present in the upper half of the coalitions.
    assert v[:32].abs().max() == 0
    assert (v[32:] == free.input[0, 0, 0, 0].double()).all()


def rows(network: str, n: int, scaled: float = 1.0) -> pd.DataFrame:
    """A case as the file has it: harsanyi 2 s and 1 s, a peer of everything 8 s, of differences 0.1 s."""
    each = [(FIRST, EVERY, 2.0), (FURTHER, EVERY, 1.0), ("shapiq, tuned function", EVERY, 8.0)]
    each += [("captum FeatureAblation", DIFFERENCES, 0.1)]
    return pd.DataFrame(
        {"network": network, "n": n, "way": way, "gives": gives, "seconds": s, "low": s, "high": s}
        | {"scaled": scaled if way.startswith("shapiq") else 1.0, "threads": 2, "package": "any 1.2"}
        | {"batch": 4, "forwards": 2**n, "difference": float("nan") if scaled > 1 else 0.0}
        | {f"over_{name}{end}": s for name in ("first", "further") for end in ("", "_low", "_high")}
        for way, gives, s in each
    )


def test_the_figure_has_a_panel_for_each_network_in_its_most_players():
    file = pd.concat([rows("free", 12), rows("vit-tiny", 12), rows("resnet18", 8), rows("resnet18", 12, 2.5)])
    kept = figure_rows(file)
    assert set(zip(kept["network"], kept["n"], strict=True)) == {("vit-tiny", 12), ("resnet18", 12)}
    assert DIFFERENCES not in set(kept["gives"])
    figure = figure_of(file)
    titles = [ax.get_title("left") for ax in figure.axes]
    assert titles == [f"{name}\n12 players: 8 times as fast" for name in ("ResNet-18", "ViT-tiny")]
    assert [[text.get_text() for text in ax.texts] for ax in figure.axes] == [
        ["2 s", "1 s", "≈ 8 s"],
        ["2 s", "1 s", "8 s"],
    ]
    with pytest.raises(ValueError, match="the file has no network to show"):
        figure_of(rows("free", 12))


def test_the_table_says_what_was_scaled():
    lines = list(table(rows("vgg16", 12, 2.5)))
    assert [line["scaled"] for line in lines] == ["no", "no", "by 2.50", "no"]
    assert [line["largest difference"] for line in lines][2:] == ["–", "–"]
    assert lines[1]["masked inputs a second"] == "4,096"
