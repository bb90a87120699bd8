"""The prefix trie against one dense forward per coalition, in float64; its tokens and caches counted."""

import weakref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    BloomConfig,
    BloomForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
)

from harsanyi.data import planted
from harsanyi.interactions import MaskedModel, Players, coalition_masks, evaluate, token
from harsanyi.interactions.game.scores import log_odds
from harsanyi.interactions.plans.choice import FEW_FORWARDS, choose
from harsanyi.interactions.plans.plan import NotApplicable
from harsanyi.interactions.plans.tokens.prefix import prefix_plan, segments
from tests.interactions.plans.tokens.dense_numbers import (
    EXACT,
    all_pairs,
    require_any_order,
    require_dense_numbers,
    require_rounding_in_float32,
)

VOCABULARY, TOKENS = 40, 10


def made(kind, config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind(config).double().eval()


def llama(**options):
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=32, **options,
    )  # fmt: skip
    return made(LlamaForCausalLM, config)


def gpt2(**options):
    config = GPT2Config(vocab_size=VOCABULARY, n_positions=32, n_embd=32, n_layer=2, n_head=4, **options)
    return made(GPT2LMHeadModel, config)


def opt():
    config = OPTConfig(
        vocab_size=VOCABULARY, hidden_size=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=32, word_embed_proj_dim=32,
    )  # fmt: skip
    return made(OPTForCausalLM, config)


def bloom():
    return made(BloomForCausalLM, BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=4))


def mistral(window):
    config = MistralConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, sliding_window=window,
    )  # fmt: skip
    return made(MistralForCausalLM, config)


CAUSAL = {"llama": llama, "gpt2": gpt2, "opt": opt}
OWNERS = {
    "a token each": [0, 1, 2, 3],
    "several tokens": [-1, 0, 0, 1, 1, 1, 2, 3, 3, 3],
    "interleaved": [-1, 1, 0, 1, 3, 0, 2, 3, 1, 0],
    "background within and at the end": [3, -1, 2, -1, -1, 0, 1, 0, -1, -1],
    "one player": [-1, -1, 0, 0, -1, -1, -1, -1, -1, -1],
    "one player, all tokens": [0] * 10,
}


def language_game(model, owner, padding=(0, 0), **options):
    """Games of random tokens, the first padding[g] of them unattended."""
    owner = torch.tensor(owner)
    if owner.ndim == 1:
        owner = owner.expand(len(padding), -1)
    generator = torch.Generator().manual_seed(1)
    tokens = owner.shape[1]
    inputs = {
        "input_ids": torch.randint(2, VOCABULARY, (len(padding), tokens), generator=generator),
        "attention_mask": (torch.arange(tokens) >= torch.tensor(padding)[:, None]).long(),
    } | options.pop("inputs", {})
    options = {"baseline": token(1), "score": "next_token_log_odds", "labels": [3] * len(padding)} | options
    players = Players(owner, int(owner.max()) + 1, axis=0, per_game=True)
    return MaskedModel(model, inputs, players, **options)


def require_same_table(game, plan, **options):
    require_dense_numbers(game, plan, min_spread=1e-4, **options)


@pytest.mark.parametrize("owner", OWNERS.values(), ids=OWNERS.keys())
def test_a_table_is_the_dense_one(owner):
    game = language_game(llama(), owner)
    require_same_table(game, prefix_plan(game))


@pytest.mark.parametrize("name", CAUSAL)
def test_left_padding_and_games_of_their_own(name):
    """Positions from the mask (OPT), from the place in the row, and rotary ones."""
    owners = [OWNERS["interleaved"], OWNERS["several tokens"], [-1, -1, -1, -1, 2, 1, 0, 3, 1, -1]]
    game = language_game(CAUSAL[name](), owners, padding=(1, 0, 4))
    require_same_table(game, prefix_plan(game))


def test_biases_by_distance():
    """Bloom's own outputs are NaN behind padding."""
    game = language_game(bloom(), OWNERS["interleaved"])
    require_same_table(game, prefix_plan(game))
    with pytest.raises(NotApplicable, match="not finite"):
        prefix_plan(language_game(bloom(), OWNERS["interleaved"], padding=(1, 0)))


def test_position_ids_and_bare_tensors_and_masked_attention():
    positions = torch.arange(TOKENS).sub(2).clamp_min(0).expand(2, -1)
    interleaved = OWNERS["interleaved"]
    given = language_game(llama(), interleaved, padding=(2, 0), inputs={"position_ids": positions})
    require_same_table(given, prefix_plan(given))
    bare = MaskedModel(
        gpt2(), given.inputs["input_ids"], given.players, labels=[3, 3], baseline=token(1),
        score="next_token_log_odds",
    )  # fmt: skip
    require_same_table(bare, prefix_plan(bare))
    unattended = language_game(llama(), [*interleaved[:-1], -1], masked="attention_mask", baseline="zeros")
    require_same_table(unattended, prefix_plan(unattended))


def test_float32_differs_by_rounding():
    game = language_game(llama().float(), OWNERS["interleaved"])
    require_rounding_in_float32(game, prefix_plan(game))


def test_pairs_in_any_order_and_more_than_once():
    game = language_game(gpt2(), OWNERS["interleaved"])
    require_any_order(game, prefix_plan(game))


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=9))
def test_segments_count_the_distinct_prefixes(drawn):
    """All masked inputs literally, cut at every token: as many differ as the token's segment says."""
    players = sorted(set(drawn) - {-1})
    if not players:
        return
    owner = [players.index(player) if player >= 0 else -1 for player in drawn]
    masks = coalition_masks(len(players)).tolist()
    v = [s.prefixes for s in segments(torch.tensor(owner)) for _ in range(s.start, s.end)]
    for end in range(len(owner)):
        prefixes = {tuple(p < 0 or mask[p] for p in owner[: end + 1]) for mask in masks}
        assert v[end] == len(prefixes)


@pytest.mark.parametrize("batch_size", [1, 2, 1000])
def test_every_token_of_the_trie_is_read_once(batch_size):
    """The model is shown just the tokens that share says, however they are batched."""
    game = language_game(llama(), OWNERS["interleaved"])
    plan, shown, positions = prefix_plan(game), [], set()

    def count(module, args, kwargs, outputs):
        shown.append(kwargs["input_ids"].numel())
        positions.add(outputs.logits.shape[1])

    handle = game.model.register_forward_hook(count, with_kwargs=True)
    plan.scores(*all_pairs(game), batch_size=batch_size)
    handle.remove()
    assert sum(shown) == round(plan.share * game.games * 2**game.n * TOKENS)
    # 1 + 1·2 + 2·4 + 2·8 + 4·16 tokens by hand: the segments are [−], [1], [0 1], [3 0], [2 3 1 0].
    assert sum(shown) == 2 * (1 + 1 * 2 + 2 * 4 + 2 * 8 + 4 * 16)
    # The output layer sees the last token of a coalition, and none within.
    assert positions == {0, 1}


def cache_bytes(caches):
    return sum(keys.nbytes + values.nbytes for cache in caches for keys, values, *_ in cache)


def test_caches_keep_to_the_memory():
    game = language_game(gpt2(), OWNERS["interleaved"], padding=(0,))
    # Keys and values, 2 layers of 32 numbers of 8 bytes.
    assert prefix_plan(game).token_bytes == 2 * 2 * 32 * 8
    # A path holds the caches of its 5 segments, that end at tokens 1, 2, 4, 6 and 10.
    path = 2 * 2 * 32 * 8 * (1 + 2 + 4 + 6 + 10)
    expected = evaluate(game, progress=False)[0]
    caches, live, most, calls = weakref.WeakSet(), [], [], []

    def measure(module, args, kwargs, outputs):
        caches.add(outputs.past_key_values)
        live.append(cache_bytes(caches))

    handle = game.model.register_forward_hook(measure, with_kwargs=True)
    for times in (1, 3, 100):
        plan = prefix_plan(game, memory=times * path)
        live.clear()
        v = plan.scores(*all_pairs(game), batch_size=64)
        torch.testing.assert_close(v, expected, rtol=0, atol=EXACT)
        most.append(max(live))
        calls.append(len(live))
        assert most[-1] <= times * path
    handle.remove()
    assert most[0] == path
    assert most[0] < most[1] < most[2]
    assert calls[0] > calls[1] > calls[2]
    with pytest.raises(NotApplicable, match="one path through the trie"):
        prefix_plan(game, memory=path - 1)


class Wrapped(nn.Module):
    """A causal model with one thing wrong."""

    def __init__(self, model, fault):
        super().__init__()
        self.model, self.fault = model, fault

    def forward(self, input_ids, attention_mask=None, past_key_values=None, use_cache=False):
        outputs = self.model(
            input_ids, attention_mask=attention_mask, past_key_values=past_key_values, use_cache=use_cache
        )
        return self.fault(outputs, past_key_values)


def without_cache(outputs, past):
    return outputs.logits


def forgetful(outputs, past):
    """Scales what it says when it has a past."""
    if past is not None and outputs.past_key_values.get_seq_length() > outputs.logits.shape[1]:
        outputs.logits = outputs.logits * 1.01
    return outputs


def looking_ahead(outputs, past):
    outputs.logits = outputs.logits + outputs.logits.mean(1, keepdim=True)
    return outputs


def failing(outputs, past):
    if past is not None:
        raise NotImplementedError("no cache today")
    return outputs


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (without_cache, "AttributeError"),
        (forgetful, "not those of the dense forward"),
        (looking_ahead, "not causal"),
        (failing, "NotImplementedError: no cache today"),
    ],
)
def test_models_that_cannot_be_served(fault, reason):
    game = language_game(Wrapped(gpt2(), fault), OWNERS["interleaved"])
    with pytest.raises(NotApplicable, match=reason):
        prefix_plan(game)
    sound = language_game(Wrapped(gpt2(), lambda outputs, past: outputs), OWNERS["interleaved"])
    require_same_table(sound, prefix_plan(sound))


def test_architectures_that_cannot_be_served():
    small = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
    encoder = made(BertForMaskedLM, BertConfig(**small, intermediate_size=32))
    with pytest.raises(NotApplicable, match="takes no past_key_values"):
        prefix_plan(language_game(encoder, OWNERS["interleaved"]))
    config = BartConfig(
        vocab_size=VOCABULARY, d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=32,
    )  # fmt: skip
    with pytest.raises(NotApplicable, match="not causal"):
        prefix_plan(language_game(made(BartForConditionalGeneration, config), OWNERS["interleaved"]))


def test_sliding_windows():
    """The caches hold every token and the attention mask keeps to the window: nothing is lost."""
    narrow, wide = (language_game(mistral(window), OWNERS["interleaved"]) for window in (3, TOKENS + 1))
    for game in (narrow, wide):
        require_same_table(game, prefix_plan(game))
    difference = evaluate(narrow, progress=False) - evaluate(wide, progress=False)
    assert difference.abs().max() > 1e-4  # the window matters


def test_games_that_cannot_be_served():
    refused = {
        "layer 'transformer.wte' is masked": {"baseline": "embedding_zeros"},
        "other positions than the last": {"score": lambda outputs, labels: outputs[:, :, 3].mean(1)},
        "raises IndexError": {"score": lambda outputs, labels: outputs[:, -2, 3]},
        r"position_ids of shape \(2, 1\)": {"inputs": {"position_ids": torch.zeros(2, 1).long()}},
        "token_type_ids is masked": {
            "inputs": {"token_type_ids": torch.zeros(2, TOKENS).long()}, "masked": "token_type_ids"
        },
    }  # fmt: skip
    for reason, options in refused.items():
        with pytest.raises(NotApplicable, match=reason):
            prefix_plan(language_game(gpt2(), OWNERS["interleaved"], **options))
    half = language_game(gpt2().bfloat16(), OWNERS["interleaved"])
    with pytest.raises(NotApplicable, match="bfloat16"):
        prefix_plan(half)
    with pytest.raises(NotApplicable, match="shows no tokens"):
        prefix_plan(planted(6, seed=3))


def test_the_model_comes_back_as_it_was():
    model = gpt2().train()
    game = language_game(model, OWNERS["interleaved"])
    prefix_plan(game).scores(*all_pairs(game))
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.is_grad_enabled()


def test_a_prompt_of_many_players_is_read_by_prefixes_though_its_forwards_are_few():
    """A trial of some dozen forwards pays for 2⁹ of them; there is nothing to trace."""
    assert choose(language_game(llama(), list(range(9)), padding=(0,))).name == "prefix"
    assert choose(language_game(llama(), list(range(8)), padding=(0,))).why == FEW_FORWARDS


def test_logits_of_the_last_position_alone_are_asked_for():
    asked = []

    class Noted(LlamaForCausalLM):
        def forward(self, *args, logits_to_keep=0, **options):
            asked.append(logits_to_keep)
            return super().forward(*args, logits_to_keep=logits_to_keep, **options)

    model = made(Noted, llama().config)
    v = evaluate(language_game(model, [0, 1, 2, 3]), progress=False)
    assert set(asked) == {1}
    # The same score, from the logits of all positions.
    expected = evaluate(
        language_game(model, [0, 1, 2, 3], score=lambda outputs, labels: log_odds(outputs[:, -1], labels)),
        progress=False,
    )
    assert 0 in asked
    torch.testing.assert_close(v, expected, rtol=0, atol=EXACT)
