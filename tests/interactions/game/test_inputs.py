"""Inputs beside the masked one: a row a game, or shared by all games, under every plan."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harsanyi.interactions import MaskedModel, Players, coalition_masks, evaluate
from harsanyi.interactions.game.scores import log_odds
from harsanyi.interactions.many_players.screening import with_others_present
from harsanyi.interactions.plans.dense import dense_plan
from harsanyi.interactions.plans.plan import NotApplicable
from harsanyi.interactions.plans.tokens.drop import drop_plan
from harsanyi.interactions.precision import precision_error
from tests.planning import make_planning_free

# The same sums of some hundred terms in another order, in float64.
EXACT = {"rtol": 0.0, "atol": 1e-10}
GRID = Players.grid(8, 8, 2, 2)


class Towers(nn.Module):
    """Images (games, 3, 8, 8) against prompts (classes, tokens): logits (games, classes)."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU())
            self.words = nn.Embedding(50, 16)
        self.double().eval()

    def forward(self, pixel_values, input_ids, scale=1.0):
        seen = F.normalize(self.body(pixel_values).mean((2, 3)), dim=-1)
        return scale * 20 * seen @ F.normalize(self.words(input_ids).mean(1), dim=-1).T


def drawn(games=2):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(games, 3, 8, 8, dtype=torch.float64, generator=generator)
    return images, torch.randint(0, 50, (5, 7), generator=generator)


def literal(function, images, labels):
    with torch.no_grad():
        rows = [
            log_odds(function(image[None] * mask[GRID.owner.view(8, 8)]), torch.tensor([label]))
            for image, label in zip(images, labels, strict=True)
            for mask in coalition_masks(4)
        ]
    return torch.cat(rows).view(len(images), 16)


@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize("plan", ["auto", "dense", "tables"])
@pytest.mark.parametrize("by_name", [True, False])
def test_many_prompts_for_every_image(few, plan, by_name, monkeypatch):
    if not few:
        make_planning_free(monkeypatch)
    net, (images, ids) = Towers(), drawn()
    inputs, shared = {"pixel_values": images} if by_name else images, {"input_ids": ids, "scale": 0.5}
    game = MaskedModel(net, inputs, GRID, labels=[2, 4], shared=shared)
    expected = literal(lambda image: net(image, ids, 0.5), images, [2, 4])
    torch.testing.assert_close(evaluate(game, plan=plan, progress=False), expected, **EXACT)


def test_games_made_of_a_game_keep_what_is_shared():
    net, (images, ids) = Towers(), drawn()
    game = MaskedModel(net, images, GRID, labels=[2, 4], shared={"input_ids": ids})
    fewer = with_others_present(game, torch.tensor([[0, 3], [1, 2]]))
    whole = evaluate(game, progress=False)
    expected = torch.stack([whole[0, [6, 7, 14, 15]], whole[1, [9, 11, 13, 15]]])
    torch.testing.assert_close(evaluate(fewer, progress=False), expected, **EXACT)
    in_halves = game.changed(precision="bf16")
    assert 0 < precision_error(in_halves).largest < 1


def test_shared_inputs_that_the_model_overwrites_stay():
    class Writing(nn.Module):
        def forward(self, image, table):
            image.sub_(table.mean())
            table.zero_()
            return image.flatten(1)[:, :4]

    (images, _), table = drawn(), torch.tensor([1.0, 2.0])
    inputs, shared = {"image": images.clone()}, {"table": table.clone()}
    game = MaskedModel(Writing(), inputs, GRID, labels=[0, 1], masked="image", shared=shared)
    v = evaluate(game, progress=False)
    expected = literal(lambda image: (image - 1.5).flatten(1)[:, :4], images, [0, 1])
    torch.testing.assert_close(v, expected, **EXACT)
    assert torch.equal(inputs["image"], images)
    assert torch.equal(shared["table"], table)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"input_ids": drawn()[1]},
            r"input_ids has 5 rows, but pixel_values has 2.*shared=\{'input_ids': …\}",
        ),
        ({"scale": torch.tensor(1.0)}, r"input scale as a tensor .* got a single number.*shared=\{'scale'"),
        ({"scale": None}, "got NoneType; what is the same for all games goes into shared="),
        ({"scale": [1.0, 2.0]}, "got list; what is the same"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_inputs_without_a_row_a_game(change, said):
    inputs = {"pixel_values": drawn()[0], "input_ids": drawn()[1][:2]} | change
    with pytest.raises(ValueError, match=said):
        MaskedModel(Towers(), inputs, GRID, labels=[0, 1], masked="pixel_values")


def test_as_many_prompts_as_images_show_in_the_outputs():
    images, ids = drawn()
    inputs = {"pixel_values": images, "input_ids": ids[:2]}
    game = MaskedModel(Towers(), inputs, GRID, labels=[0, 0], masked="pixel_values")
    for size in (None, 1):
        with pytest.raises(ValueError, match=r"shape \(1, 1\) for one input, and \(5, 5\) for 5.*shared="):
            evaluate(game, batch_size=size, progress=False)


def test_a_name_is_given_once():
    images, ids = drawn()
    inputs = {"pixel_values": images, "input_ids": ids[:2]}
    with pytest.raises(ValueError, match="input_ids is among the inputs and in shared="):
        MaskedModel(Towers(), inputs, GRID, labels=[0, 0], masked="pixel_values", shared={"input_ids": ids})


class Positions(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(20, 8), nn.Embedding(9, 8)
        self.last = nn.Linear(8, 3)

    def forward(self, input_ids, attention_mask, position_ids):
        x = torch.tanh(self.words(input_ids) + self.places(position_ids)) * attention_mask[..., None]
        return self.last(x.sum(1))


def test_position_ids_of_one_row():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Positions().double()
    ids, places = torch.arange(1, 9).view(2, 4), torch.arange(4)[None]
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    players, options = Players(torch.arange(4), 4, axis=0), {"labels": [0, 1], "baseline": "unattended"}
    game = MaskedModel(net, inputs, players, shared={"position_ids": places}, **options)
    repeated = MaskedModel(net, inputs | {"position_ids": places.repeat(2, 1)}, players, **options)
    v = evaluate(game, progress=False)
    torch.testing.assert_close(v, evaluate(repeated, progress=False), **EXACT)
    with pytest.raises(NotApplicable, match="position_ids is shared by all games"):
        drop_plan(game)
    masks = coalition_masks(4)
    for number in range(2):
        scores = dense_plan(game).scores(torch.full((16,), number), masks)
        torch.testing.assert_close(scores, v[number], **EXACT)
