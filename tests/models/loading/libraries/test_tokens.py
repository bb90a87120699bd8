"""Tokenizers and their models: padding, positions, and batches that equal single sentences."""

from pathlib import Path

import pytest
import torch
import transformers
from transformers import AutoConfig, AutoModelForSequenceClassification

from harsanyi.models import load

SENTENCES = ["the film is not good but i liked it", "a lot of fun at times dull", "dull"]
SIZES = {
    "vocab_size": 30,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 40,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
GPT = {
    "vocab_size": 30,
    "n_positions": 40,
    "n_embd": 16,
    "n_layer": 1,
    "n_head": 2,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
XLNET = {"vocab_size": 30, "d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 16, "pad_token_id": 1}
T5 = {
    "vocab_size": 30,
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 16,
    "num_layers": 1,
    "num_heads": 2,
    "pad_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
BART = {
    "vocab_size": 30,
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "max_position_embeddings": 40,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
}
DISTIL = {
    "vocab_size": 30,
    "dim": 16,
    "n_layers": 1,
    "n_heads": 2,
    "hidden_dim": 16,
    "max_position_embeddings": 40,
    "pad_token_id": 1,
}
FUNNEL = {
    "vocab_size": 30,
    "d_model": 16,
    "block_sizes": [1, 1],
    "n_head": 2,
    "d_head": 8,
    "d_inner": 16,
    "pad_token_id": 1,
}
# Family, config, and how many tokens it takes: RoBERTa's kin count positions from the padding token's.
FAMILIES = {
    "bert": (SIZES, 40),
    "roberta": (SIZES, 38),
    "distilbert": (DISTIL, 40),
    "albert": (SIZES | {"embedding_size": 16}, 40),
    "electra": (SIZES | {"embedding_size": 16}, 40),
    "mpnet": (SIZES, 38),
    "deberta-v2": (SIZES | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}, 40),
    "longformer": (SIZES | {"attention_window": 4}, 38),
    "xlnet": (XLNET, 512),
    "funnel": (FUNNEL, 512),
    "bart": (BART, 40),
    "t5": (T5, 512),
    "gpt2": (GPT | {"pad_token_id": 1}, 40),
    "llama": (SIZES | {"num_key_value_heads": 1}, 40),
}


@pytest.fixture(autouse=True)
def quiet():
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def classifier(folder: Path, family: str, config: dict):
    """A network whose weights are large enough that every token changes the answer."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(
            AutoConfig.for_model(family, num_labels=3, **config)
        ).eval()
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.15 * torch.randn_like(weight))
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_of_classifiers(tmp_path: Path, family: str, save_tokenizer):
    """The saved network's logits, sentence by sentence; features; and as many tokens as it takes."""
    config, length = FAMILIES[family]
    model = classifier(tmp_path, family, config)
    save_tokenizer(tmp_path)
    network = load(str(tmp_path))
    logits = network.logits(network.preprocess(SENTENCES))
    for sentence, answer in zip(SENTENCES, logits, strict=True):
        with torch.no_grad():
            alone = model(**network.preprocess([sentence])).logits[0]
        torch.testing.assert_close(answer, alone, rtol=1e-4, atol=1e-5)  # order of float32 sums
    features, head = (
        network.features(network.preprocess(SENTENCES)),
        network.model.get_submodule(network.head),
    )
    torch.testing.assert_close(head(features).detach(), logits, rtol=1e-4, atol=1e-5)
    assert network.preprocess.max_length == length
    assert network.logits(network.preprocess(["film " * 60])).shape == (1, 3)


@pytest.mark.parametrize("pad", [None, "<pad>"])
@pytest.mark.parametrize(
    ("family", "config"), [("gpt2", GPT), ("llama", SIZES | {"num_key_value_heads": 1, "pad_token_id": None})]
)
def test_classifiers_without_a_padding_token(tmp_path: Path, family: str, config: dict, pad, save_tokenizer):
    """Alone, they read the last token, </s>; so in a batch it must not stand for padding."""
    model = classifier(tmp_path, family, config)
    save_tokenizer(tmp_path, pad=pad)
    assert model.config.pad_token_id is None
    network = load(str(tmp_path))
    logits = network.logits(network.preprocess(SENTENCES))
    for sentence, answer in zip(SENTENCES, logits, strict=True):
        inputs = network.preprocess([sentence])
        assert inputs["input_ids"][0, -1] == 2
        with torch.no_grad():
            torch.testing.assert_close(answer, model(**inputs).logits[0], rtol=1e-4, atol=1e-5)


def test_tokenizer_and_config_with_different_padding(tmp_path: Path, save_tokenizer):
    """The classifier looks for the config's padding, so a batch is padded with that."""
    model = classifier(tmp_path, "gpt2", GPT | {"pad_token_id": 3})
    save_tokenizer(tmp_path)
    network = load(str(tmp_path))
    assert network.tokenizer.pad_token_id == 3
    alone = [model(**network.preprocess([sentence])).logits[0] for sentence in SENTENCES]
    torch.testing.assert_close(
        network.logits(network.preprocess(SENTENCES)), torch.stack(alone).detach(), rtol=1e-4, atol=1e-5
    )


def test_a_padding_token_without_an_embedding(tmp_path: Path, save_tokenizer):
    classifier(tmp_path, "bert", SIZES | {"vocab_size": 22})
    tokenizer = save_tokenizer(tmp_path, pad=None)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(
        ValueError, match=r"pads with '\[PAD\]', token 22, but the network has embeddings for 22 tokens"
    ):
        load(str(tmp_path))


def test_more_tokens_than_positions(tmp_path: Path, save_tokenizer):
    classifier(tmp_path, "bert", SIZES)
    save_tokenizer(tmp_path)
    assert load(str(tmp_path), preprocessing={"max_length": 7}).preprocess.max_length == 7
    with pytest.raises(ValueError, match="max_length is 50, but the network has 40 positions"):
        load(str(tmp_path), preprocessing={"max_length": 50})
    with pytest.raises(ValueError, match="unknown preprocessing mean: expected max_length"):
        load(str(tmp_path), preprocessing={"mean": 0.5})
