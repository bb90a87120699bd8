"""MaskedModel and evaluate against one literal forward per coalition; the user's model left as it was."""

import numpy as np
import pytest
import torch
from torch import nn
from tqdm import tqdm
from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel

from harsanyi.data import planted
from harsanyi.interactions import (
    BACKGROUND,
    Game,
    MaskedModel,
    Players,
    coalition_masks,
    evaluate,
    evaluate_pairs,
    token,
)
from harsanyi.interactions.game.scores import log_odds

# Literal forwards have batch 1: convolutions may sum in another order, in float32.
FLOAT32 = 1e-4


def convolutional(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3, stride=2),
            nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(36, 5),
        ).eval().requires_grad_(False)  # fmt: skip


@pytest.fixture
def net():
    return convolutional()


def images(games=3, seed=0):
    return torch.randn(games, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


LABELS = [0, 4, 2]


@pytest.mark.parametrize(
    "baseline", ["zeros", "data_mean", "input_mean", "blur", "tensor", "number", "callable"]
)
def test_every_coalition_is_one_literal_forward(net, baseline):
    x = images()
    given = {"tensor": torch.randn(3, 1, 1), "number": 0.5, "callable": lambda x: -x}.get(baseline, baseline)
    players = Players.grid(8, 8, 2, 2).choose(3, seed=1)
    v = evaluate(MaskedModel(net, x, players, labels=LABELS, baseline=given), progress=False)
    assert v.shape == (3, 8)
    assert v.dtype == torch.float64
    from harsanyi.interactions.game.baselines import baseline_named

    filled = torch.broadcast_to(baseline_named(given)(x), x.shape)
    for game in range(3):
        for coalition, mask in enumerate(coalition_masks(3)):
            masked = x[game].clone()
            for i in range(8):
                for j in range(8):
                    owner = players.owner[i, j].item()
                    if owner != BACKGROUND and not mask[owner]:
                        masked[:, i, j] = filled[game, :, i, j]
            score = log_odds(net(masked[None]), torch.tensor([LABELS[game]]))
            assert v[game, coalition].item() == pytest.approx(score.item(), abs=FLOAT32)


def test_batches_cross_games_and_change_nothing(net):
    game = MaskedModel(net.double(), images().double(), Players.grid(8, 8, 2, 2), labels=LABELS)
    assert isinstance(game, Game)
    whole = evaluate(game, progress=False)
    for size in (1, 7, 16, 1000):
        torch.testing.assert_close(evaluate(game, batch_size=size, progress=False), whole, rtol=0, atol=1e-12)


def test_chosen_coalitions_and_games(net):
    game = MaskedModel(net.double(), images().double(), Players.grid(8, 8, 2, 2), labels=LABELS)
    whole = evaluate(game, progress=False)
    some = coalition_masks(4)[[3, 9, 15]]
    chosen_scores = evaluate(game, some, games=[2, 0], progress=False)
    torch.testing.assert_close(chosen_scores, whole[[2, 0]][:, [3, 9, 15]], rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match=r"\(coalitions, 4\)"):
        evaluate(game, some[:, :3], progress=False)


def test_pairs_are_entries_of_the_table(net):
    """In any order, more than once, in any batches, also where memory runs out."""
    limited = OutOfMemoryAbove(net.double(), limit=5)
    game = MaskedModel(limited, images().double(), Players.grid(8, 8, 2, 2), labels=LABELS)
    whole = evaluate(game, progress=False)
    generator = torch.Generator().manual_seed(0)
    games = torch.randint(3, (40,), generator=generator)
    which = torch.randint(16, (40,), generator=generator)
    for size in (1, 7, 1000):
        chosen_scores = evaluate_pairs(game, games, coalition_masks(4)[which], batch_size=size)
        torch.testing.assert_close(chosen_scores, whole[games, which], rtol=0, atol=1e-12)
    assert max(limited.batches) <= 5
    assert evaluate_pairs(game, games[:0], coalition_masks(4)[:0]).shape == (0,)


def test_pairs_that_cannot_be_asked(net, unchecked):
    game = MaskedModel(net, images(), Players.grid(8, 8, 2, 2), labels=LABELS)
    for count, n in ((2, 3), (1, 4)):
        with pytest.raises(ValueError, match=rf"4 players for each of 2 games, got \({count}, {n}\)"):
            evaluate_pairs(game, torch.tensor([0, 2]), torch.ones(count, n, dtype=torch.bool))
    broken = MaskedModel(net, images(), game.players, labels=LABELS, score=lambda o, y: o[:, 0] / (y != 4))
    with pytest.raises(ValueError, match="game 1 is -?inf for .*2 such scores"):
        evaluate_pairs(broken, torch.tensor([0, 1, 2, 1]), torch.ones(4, 4, dtype=torch.bool))


def test_the_model_comes_back_as_it_was():
    net = convolutional()
    net.requires_grad_(True).train()
    net[1].eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    tf32 = torch.backends.cudnn.allow_tf32
    evaluate(MaskedModel(net, images(), Players.grid(8, 8, 2, 2), labels=LABELS, layer="2"), progress=False)
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    assert torch.is_grad_enabled()
    assert torch.backends.cudnn.allow_tf32 == tf32


def test_the_model_comes_back_after_an_error(net):
    net.train()
    game = MaskedModel(net, images(), Players.grid(8, 8, 2, 2), labels=LABELS, score=lambda o, y: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        evaluate(game, progress=False)
    assert all(module.training for module in net.modules())


def test_layer_masking_is_the_literal_split_of_the_network(net):
    """Mask after the first ReLU: the head of the network on masked features."""
    x = images()
    players = Players.grid(8, 8, 2, 2)
    v = evaluate(
        MaskedModel(net, x, players, labels=LABELS, layer="2", baseline="input_mean"), progress=False
    )
    features = net[:3](x)
    for game in range(3):
        mean = features[game].mean((1, 2), keepdim=True)
        for coalition, mask in enumerate(coalition_masks(4)):
            kept = mask[players.owner][None]
            score = log_odds(
                net[3:](torch.where(kept, features[game], mean)[None]), torch.tensor([LABELS[game]])
            )
            assert v[game, coalition].item() == pytest.approx(score.item(), abs=FLOAT32)


class Seen(nn.Module):
    """A network that notes how its images lie in memory, and may look at memory itself."""

    def __init__(self, after):
        super().__init__()
        self.convolution, self.head, self.after = nn.Conv2d(3, 4, 3), nn.Linear(144, 5), after
        self.last = None

    def forward(self, x):
        self.last = x.is_contiguous(memory_format=torch.channels_last)
        return self.head(self.after(self.convolution(x)))


@pytest.mark.parametrize(
    ("after", "last"),
    [
        (lambda x: x.flatten(1), True),
        (lambda x: x.view(x.size(0), -1), False),
        (lambda x: x.as_strided((x.size(0), 144), (144, 1)), False),
    ],
)
@pytest.mark.parametrize("layer", [None, "convolution"])
def test_channels_last_where_that_changes_nothing(after, last, layer):
    torch.manual_seed(0)
    net, x = Seen(after), images()
    players = Players.grid(8, 8, 2, 2) if layer is None else Players.grid(6, 6, 2, 2)
    game = MaskedModel(net, x, players, labels=LABELS, layer=layer)
    v = evaluate(game, progress=False)
    assert net.last == last
    for number, mask in enumerate(coalition_masks(4)):
        with torch.inference_mode():
            if layer is None:
                logits = net(x * mask[players.owner.view(8, 8)])
            else:
                masked = net.convolution(x) * mask[players.owner.view(6, 6)]
                logits = net.head(after(masked))
            expected = log_odds(logits, torch.tensor(LABELS))
        torch.testing.assert_close(v[:, number], expected, rtol=0, atol=FLOAT32)


def test_channels_stay_first_where_rounding_hides_a_difference():
    """In half precision whatever a network does with memory passes for rounding."""
    torch.manual_seed(0)
    net = Seen(lambda x: x.as_strided((x.size(0), 144), (144, 1))).bfloat16()
    evaluate(MaskedModel(net, images(), Players.grid(8, 8, 2, 2), labels=LABELS), progress=False)
    assert net.last is False


def test_a_layer_that_runs_twice_is_refused():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu, self.linear = nn.ReLU(), nn.Linear(12, 3)

        def forward(self, x):
            return self.relu(self.linear(self.relu(x.flatten(1))))

    with pytest.raises(ValueError, match="exactly once"):
        MaskedModel(Twice(), torch.randn(2, 3, 2, 2), Players.grid(2, 2, 1, 2), labels=[0, 1], layer="relu")


def test_unknown_layer(net):
    with pytest.raises(ValueError, match="no layer 'conv9'"):
        MaskedModel(net, images(), Players.grid(8, 8, 2, 2), labels=LABELS, layer="conv9")


class OutOfMemoryAbove(nn.Module):
    def __init__(self, net, limit):
        super().__init__()
        self.net, self.limit, self.batches = net, limit, []

    def forward(self, x):
        if len(x) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory (simulated)")
        self.batches.append(len(x))
        return self.net(x)


def test_out_of_memory_halves_the_batch(net):
    limited = OutOfMemoryAbove(net.double(), limit=5)
    game = MaskedModel(limited, images().double(), Players.grid(8, 8, 2, 2), labels=LABELS)
    v = evaluate(game, batch_size=16, progress=False)
    assert max(limited.batches) == 4
    expected = evaluate(
        MaskedModel(net, images().double(), Players.grid(8, 8, 2, 2), labels=LABELS), progress=False
    )
    torch.testing.assert_close(v, expected, rtol=0, atol=1e-12)
    limited.limit = 0
    with pytest.raises(torch.OutOfMemoryError):
        evaluate(game, progress=False)


def test_other_runtime_errors_are_not_swallowed(net):
    def broken(outputs, labels):
        raise RuntimeError("shapes do not match")

    game = MaskedModel(net, images(), Players.grid(8, 8, 2, 2), labels=LABELS, score=broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        evaluate(game, progress=False)


def test_batch_size_is_a_power_of_two_from_the_largest_activation(net, monkeypatch):
    small = MaskedModel(net, images(), Players.grid(8, 8, 2, 2), labels=LABELS)
    # The first convolution's output, 8 × 8 × 8 floats: 6 MiB hold 3072 of them.
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert small.batch_size() == 2048
    # With a cache for each thread, and no more than 4096.
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert small.batch_size() == 4096


def test_one_bar_for_several_runs_changes_nothing(net):
    game = MaskedModel(net, images(), Players.grid(8, 8, 2, 2), labels=LABELS)
    with tqdm(total=2 * 48, disable=None) as bar:
        one = evaluate(game, progress=bar)
        two = evaluate(game, progress=False)
        evaluate(game, progress=bar)
    assert torch.equal(one, two)


def test_any_game_can_be_evaluated():
    game = planted(6, seed=3)
    assert isinstance(game, Game)
    assert torch.equal(evaluate(game, progress=False)[0], game.table())


def bert(**options):
    config = BertConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        num_labels=3, **options,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return BertForSequenceClassification(config).eval()


SENTENCES = {
    "input_ids": torch.tensor([[2, 5, 6, 7, 8, 3], [2, 9, 10, 3, 0, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]]),
}
WORDS = Players(torch.tensor([[-1, 0, 0, 1, 1, -1], [-1, 0, 1, -1, -1, -1]]), 2, axis=0, per_game=True)


def test_token_ids_are_replaced(net):
    model = bert()
    v = evaluate(MaskedModel(model, SENTENCES, WORDS, labels=[1, 2], baseline=token(4)), progress=False)
    ids = SENTENCES["input_ids"].clone()
    ids[0, 3:5] = 4  # the second player of the first sentence is absent
    logits = model(input_ids=ids[:1], attention_mask=SENTENCES["attention_mask"][:1]).logits
    assert v[0, 0b10].item() == pytest.approx(log_odds(logits, torch.tensor([1])).item(), abs=FLOAT32)


def test_embedding_zeros():
    model = bert()
    game = MaskedModel(model, SENTENCES, WORDS, labels=[1, 2], baseline="embedding_zeros")
    assert game.layer == "bert.embeddings.word_embeddings"
    v = evaluate(game, progress=False)
    embedded = model.get_input_embeddings()(SENTENCES["input_ids"]).detach().clone()
    embedded[1, 1] = 0  # the first player of the second sentence is absent
    logits = model(inputs_embeds=embedded[1:], attention_mask=SENTENCES["attention_mask"][1:]).logits
    assert v[1, 0b01].item() == pytest.approx(log_odds(logits, torch.tensor([2])).item(), abs=FLOAT32)


def test_absent_words_are_not_attended_to():
    model = bert()
    game = MaskedModel(model, SENTENCES, WORDS, labels=[1, 2], baseline="unattended")
    assert (game.masked, game.layer) == ("attention_mask", None)
    mask = SENTENCES["attention_mask"].clone()
    mask[1, 1] = 0  # the first player of the second sentence is absent
    logits = model(input_ids=SENTENCES["input_ids"][1:], attention_mask=mask[1:]).logits
    v = evaluate(game, progress=False)
    assert v[1, 0b01].item() == pytest.approx(log_odds(logits, torch.tensor([2])).item(), abs=FLOAT32)


@pytest.mark.parametrize(
    ("inputs", "options", "said"),
    [
        (SENTENCES["input_ids"], {}, "needs an attention_mask among the inputs"),
        ({"input_ids": SENTENCES["input_ids"]}, {}, "needs an attention_mask among the inputs"),
        (SENTENCES, {"masked": "input_ids"}, "leave out masked= and layer="),
        (SENTENCES, {"layer": "bert.embeddings"}, "leave out masked= and layer="),
    ],
)
def test_who_cannot_be_unattended(inputs, options, said):
    with pytest.raises(ValueError, match=said):
        MaskedModel(bert(), inputs, WORDS, labels=[1, 2], baseline="unattended", **options)


def test_next_token_of_a_causal_model():
    config = GPT2Config(
        vocab_size=30, n_positions=16, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT2LMHeadModel(config).eval()
    prompts = {"input_ids": torch.tensor([[5, 6, 7]]), "attention_mask": torch.ones(1, 3, dtype=torch.int64)}
    players = Players(torch.tensor([0, 1, -1]), 2, axis=0)
    options = {"labels": [11], "baseline": token(0), "score": "next_token_log_odds"}
    v = evaluate(MaskedModel(model, prompts, players, **options), progress=False)
    logits = model(input_ids=torch.tensor([[0, 6, 7]])).logits[:, -1]
    assert v[0, 0b01].item() == pytest.approx(log_odds(logits, torch.tensor([11])).item(), abs=FLOAT32)
    prompts["attention_mask"][0, -1] = 0
    with pytest.raises(ValueError, match="pad the prompts on the left"):
        MaskedModel(model, prompts, players, **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [0, 1, 5]}, "label 5 of game 2 is outside the network's 5 classes"),
        ({"labels": [0, -1, 2]}, "label -1 of game 1"),
        ({"labels": [0, 1]}, "expected 3 integer labels"),
        ({"labels": None}, "needs labels="),
        ({"inputs": torch.full((3, 3, 8, 8), torch.nan)}, "games 0, 1, 2 hold NaN"),
        ({"inputs": images()[:0]}, "at least one game"),
        ({"inputs": np.zeros((3, 3, 8, 8))}, "expected inputs as a tensor"),
        ({"players": Players.grid(4, 4, 2, 2)}, r"elements of shape \(4, 4\) do not fit"),
        ({"players": Players.stack([Players.grid(8, 8, 2, 2)] * 2)}, "players of 2 games, but 3 inputs"),
        ({"baseline": torch.zeros(2, 3, 8, 8)}, r"baseline of shape \(2, 3, 8, 8\) does not fit"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_meant(net, change, message):
    arguments = {"inputs": images(), "players": Players.grid(8, 8, 2, 2), "labels": LABELS} | change
    with pytest.raises(ValueError, match=message):
        MaskedModel(net, arguments.pop("inputs"), arguments.pop("players"), **arguments)


def test_outputs_that_are_not_finite_name_the_game(net):
    class Fragile(nn.Module):
        """NaN for the black image."""

        def forward(self, x):
            outputs = x.flatten(1)[:, :5].clone()
            return torch.where(x.abs().sum((1, 2, 3))[:, None] == 0, torch.nan, outputs)

    x = images()
    game = MaskedModel(Fragile(), x, Players.grid(8, 8, 2, 2), labels=LABELS)
    with pytest.raises(ValueError, match="game 0 is nan for coalition 0"):
        evaluate(game, progress=False)


def test_a_model_without_logits():
    with pytest.raises(ValueError, match="expected the model to return logits"):
        MaskedModel(lambda x: {"loss": x}, images(), Players.grid(8, 8, 2, 2), labels=LABELS)


def test_too_many_players_say_what_they_need(monkeypatch):
    monkeypatch.setattr("harsanyi.interactions.machine.memory.free_bytes", lambda device: 2**30)
    game = MaskedModel(nn.Flatten(), torch.randn(3, 1, 6, 6), Players.grid(6, 6, 6, 6), labels=LABELS)
    with pytest.raises(MemoryError, match=r"3 games × 68719476736 coalitions needs 1536 GiB, and 1 GiB"):
        evaluate(game, progress=False)
