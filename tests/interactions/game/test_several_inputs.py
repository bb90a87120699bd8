"""Traced networks with several inputs, against the networks themselves, in float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    RobertaConfig,
    RobertaForSequenceClassification,
    ViTConfig,
    ViTForImageClassification,
)

from harsanyi.interactions import MaskedModel, Players, coalition_masks, evaluate, token
from harsanyi.interactions.plans.choice import choose
from harsanyi.interactions.plans.dense import dense_plan
from harsanyi.interactions.plans.graph.trace import trace
from harsanyi.interactions.plans.plan import NotApplicable
from harsanyi.interactions.plans.regions.tables import tables_plan
from tests.planning import make_planning_free

# The same sums, some in another order: a few hundred terms near 1 in float64.
EXACT = {"rtol": 0.0, "atol": 1e-10}
WIDTH, TOKENS, VOCABULARY, PADDING = 6, 7, 40, 1
LENGTHS = (7, 5, 3)
OWNERS = Players(torch.tensor([-1, 0, 1, 2, 3, 3, -1]), 4, axis=0)
SMALL = {
    "vocab_size": VOCABULARY, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 32, "max_position_embeddings": 16, "pad_token_id": PADDING, "num_labels": 3,
}  # fmt: skip


class Joined(nn.Module):
    """Of several inputs, whatever `join` makes of them, which may hold parts of its own."""

    def __init__(self, join, **parts):
        super().__init__()
        self.join = join
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x, beside):
        return self.join(self, x, **beside)


def made(build, *args):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(*args).double().eval()


def rows(count, seed=0):
    """A batch, and three inputs beside it."""
    generator = torch.Generator().manual_seed(seed)
    x, gate = torch.randn(2, count, WIDTH, dtype=torch.float64, generator=generator)
    kind = torch.randint(0, 3, (count,), generator=generator)
    return x, {"gate": gate, "kind": kind, "unread": torch.randn(count, 2, dtype=torch.float64)}


def joined(self, x, gate, kind, unread):
    """Reads two of the inputs beside, one as a number among three, and not linearly."""
    mixed = self.first(x) * gate.exp().tanh() + self.table(kind).sin()
    return self.last(F.gelu(mixed + x * (gate > 0)))


def joined_net():
    parts = {"first": nn.Linear(WIDTH, WIDTH), "table": nn.Embedding(3, WIDTH), "last": nn.Linear(WIDTH, 4)}
    return made(lambda: Joined(joined, **parts))


@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_trace_of_several_inputs_gives_the_networks_numbers(count):
    net = joined_net()
    traced = trace(net, *rows(2))
    assert set(traced.beside) == {"gate", "kind"}
    x, beside = rows(count, seed=count)
    torch.testing.assert_close(traced(x, beside), net(x, beside), **EXACT)


def test_parts_run_as_the_whole_does_with_the_inputs_beside():
    net = joined_net()
    traced, (x, beside) = trace(net, *rows(2)), rows(3, seed=1)
    given = traced.values_beside(beside)
    for cut in range(len(traced.steps) + 1):
        first = traced.run(0, cut, {traced.source: x} | given, 3)
        assert set(first) == set(traced.live(cut))
        assert set(first).isdisjoint(given)
        last = traced.run(cut, len(traced.steps), first | given, 3)
        torch.testing.assert_close(last[traced.result], net(x, beside), **EXACT)


def test_a_missing_input_is_named():
    traced = trace(joined_net(), *rows(2))
    with pytest.raises(KeyError, match="gate"):
        traced(rows(2)[0], {"kind": rows(2)[1]["kind"]})


REFUSED = {
    "control flow": (lambda self, x, gate, **_: x if gate.sum() > 0 else -x, "cannot follow"),
    "a number taken out": (lambda self, x, gate, **_: x * float(gate.max()), "cannot follow"),
    "all of the batch": (lambda self, x, gate, **_: x - gate.mean(0), "together"),
    "noise in its shape": (lambda self, x, gate, **_: x + torch.rand_like(gate), "draws at random"),
    "dropout that is on": (lambda self, x, gate, **_: x + F.dropout(gate), "draws at random"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_traced_is_refused_with_its_reason(name):
    join, reason = REFUSED[name]
    with pytest.raises(NotApplicable, match=reason):
        trace(Joined(join), *rows(2))


CONFIGS = {
    "bert": (BertForSequenceClassification, lambda how: BertConfig(**SMALL, attn_implementation=how)),
    "roberta": (
        RobertaForSequenceClassification,
        lambda how: RobertaConfig(**SMALL, attn_implementation=how),
    ),
    "distilbert": (
        DistilBertForSequenceClassification,
        lambda how: DistilBertConfig(
            vocab_size=VOCABULARY, dim=24, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=16,
            num_labels=3, pad_token_id=PADDING, attn_implementation=how,
        ),
    ),
}  # fmt: skip


def encoder(name, how="sdpa"):
    kind, config = CONFIGS[name]
    return made(kind, config(how))


def sentences(*keys):
    """Three sentences of different lengths, padded."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, VOCABULARY, (len(LENGTHS), TOKENS), generator=generator)
    mask = (torch.arange(TOKENS) < torch.tensor(LENGTHS)[:, None]).long()
    ids = ids * mask + PADDING * (1 - mask)
    known = {"input_ids": ids, "attention_mask": mask, "token_type_ids": (ids > 20).long()}
    return {key: known[key] for key in ("input_ids", *keys)}


def require_forwards(game, plan):
    """The plan's outputs of all games, in an order of no pattern, are those of the network as it is."""
    masks = coalition_masks(game.n)
    coalitions = masks[torch.randperm(len(masks), generator=torch.Generator().manual_seed(1))]
    for number in range(game.games):
        met = torch.zeros(len(masks), dtype=torch.bool)
        with torch.inference_mode(), game.prepared():
            expected = game.forward(torch.full((len(masks),), number), coalitions)
            for numbers, outputs in plan.outputs(number, coalitions, batch_size=7):
                torch.testing.assert_close(outputs, expected[numbers], **EXACT)
                met[numbers] = True
        assert met.all()


@pytest.mark.parametrize(
    ("name", "how", "baseline"),
    [
        ("bert", "sdpa", "a token"),
        ("bert", "eager", "embedding_zeros"),
        ("roberta", "sdpa", "embedding_zeros"),
        ("roberta", "eager", "a token"),
        ("distilbert", "sdpa", "embedding_zeros"),
        ("distilbert", "eager", "a token"),
    ],
)
def test_encoders_of_sentences(name, how, baseline):
    baseline = token(4) if baseline == "a token" else baseline
    keys = ("attention_mask",) if name != "bert" else ("attention_mask", "token_type_ids")
    game = MaskedModel(encoder(name, how), sentences(*keys), OWNERS, labels=[0, 1, 2], baseline=baseline)
    plan = dense_plan(game)
    # RoBERTa counts its positions by the ids, masked embeddings or not.
    counted = {"input_ids"} if name == "roberta" and game.layer else set()
    assert set(plan.traced.beside) == {*keys} | counted
    require_forwards(game, plan)


def test_ids_alone():
    game = MaskedModel(encoder("bert"), sentences(), OWNERS, labels=[0, 1, 2], baseline=token(4))
    plan = dense_plan(game)
    assert plan.traced.beside == {}
    require_forwards(game, plan)


def test_embeddings_given_by_the_user():
    """`inputs_embeds` masked, the attention mask beside."""
    net, words = encoder("bert"), sentences("attention_mask")
    embedded = net.bert.embeddings.word_embeddings(words.pop("input_ids")).detach()
    game = MaskedModel(net, {"inputs_embeds": embedded, **words}, OWNERS, labels=[0, 1, 2])
    require_forwards(game, dense_plan(game))


def test_a_language_model():
    """Outputs for every token."""
    config = GPT2Config(
        vocab_size=VOCABULARY, n_embd=24, n_layer=2, n_head=2, n_positions=16, use_cache=False
    )
    inputs = sentences("attention_mask")
    inputs["attention_mask"] = inputs["attention_mask"].flip(1)
    game = MaskedModel(
        made(GPT2LMHeadModel, config), inputs, OWNERS, labels=[7, 8, 9], baseline=token(4),
        score="next_token_log_odds",
    )  # fmt: skip
    require_forwards(game, dense_plan(game))


def test_a_vision_transformer():
    config = ViTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=16,
        patch_size=4, num_labels=3,
    )  # fmt: skip
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    net = made(ViTForImageClassification, config)
    game = MaskedModel(net, {"pixel_values": images}, Players.grid(16, 16, 2, 2), labels=[0, 1])
    require_forwards(game, dense_plan(game))


class Around(nn.Module):
    """A layer with a way around it."""

    def __init__(self):
        super().__init__()
        self.block, self.head = nn.Conv2d(2, 2, 3, padding=1), nn.Linear(2, 3)

    def forward(self, x):
        return self.head((self.block(x) * x.sigmoid()).relu().mean((2, 3)))


def images(count=2):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 2, 8, 8, dtype=torch.float64, generator=generator)


def test_a_layer_with_a_way_around_it():
    """The network's own input is one more input then."""
    game = MaskedModel(made(Around), images(), Players.grid(8, 8, 2, 2), labels=[0, 1], layer="block")
    plan = dense_plan(game)
    assert list(plan.traced.beside) == ["inputs"]
    require_forwards(game, plan)


class Captioned(nn.Module):
    """Convolutions of an image, and numbers that come with it, at the end."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU())
        self.more = nn.Sequential(nn.Conv2d(8, 16, 3), nn.ReLU())
        self.head = nn.Linear(16, 3)

    def forward(self, pixel_values, numbers):
        seen = self.more(self.body(pixel_values)).mean((2, 3))
        return self.head(seen * numbers.exp())


def test_region_tables_with_an_input_beside():
    """The rows end before the first step that reads it."""
    numbers = torch.randn(2, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    inputs = {"pixel_values": F.interpolate(images(), 20), "numbers": numbers}
    game = MaskedModel(made(Captioned), inputs, Players.grid(20, 20, 2, 4), labels=[0, 1])
    plan = tables_plan(game)
    assert plan.share < 1
    assert list(plan.traced.beside) == ["numbers"]
    require_forwards(game, plan)


class Skipping(nn.Module):
    """Leaves its attention out where all is attended to, which only the values can say."""

    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Embedding(VOCABULARY, 8), nn.Linear(8, 3)

    def forward(self, input_ids, attention_mask):
        x = self.words(input_ids)
        if not attention_mask.all():
            x = x * attention_mask[..., None]
        return self.head(x.sum(1))


class Mixing(Skipping):
    """Reads the mask of the next sentence."""

    def forward(self, input_ids, attention_mask):
        return self.head((self.words(input_ids) * attention_mask.roll(1, 0)[..., None]).sum(1))


@pytest.mark.parametrize(("kind", "reason"), [(Skipping, "cannot follow"), (Mixing, "others of its batch")])
def test_what_is_refused_runs_as_it_is(kind, reason, monkeypatch):
    make_planning_free(monkeypatch)
    game = MaskedModel(made(kind), sentences("attention_mask"), OWNERS, labels=[0, 1, 2], baseline=token(4))
    chosen = choose(game, "dense")
    assert chosen.plan is None
    assert reason in chosen.why


@pytest.mark.parametrize("few", [True, False])
def test_whole_tables_are_the_same_traced_or_not(few, monkeypatch):
    if not few:
        make_planning_free(monkeypatch)
    game = MaskedModel(
        encoder("bert"), sentences("attention_mask"), OWNERS, labels=[0, 1, 2], baseline=token(4)
    )
    assert (choose(game, "dense").plan is None) == few
    v = evaluate(game, plan="dense", progress=False)
    with torch.inference_mode(), game.prepared():
        literal = [
            [game.scores(torch.tensor([g]), one[None]) for one in coalition_masks(4)] for g in range(3)
        ]
    torch.testing.assert_close(v, torch.tensor(literal, dtype=torch.float64), **EXACT)
