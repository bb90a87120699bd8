"""Studies of transformers end to end: tables against words masked by hand, one forward at a time."""

import itertools
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from harsanyi import models
from harsanyi.analyses import Compare, Run, compute, read_table
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.study.study import Track
from tests import text_networks

# float32 networks of one layer whose logits are of size 1: sums of a few dozen terms in another order.
FLOAT32 = 1e-5
END = "<|endoftext|>"
PROMPTS = {
    "the cat sat on the": "mat",
    "the good dog ran on the": "road",
    "a bad cat ran": "home",
    "the mat sat": ".",
}
WORDS = sorted({word for prompt, target in PROMPTS.items() for word in [*prompt.split(), target]})
KINDS = ("gpt2", "llama")
ENCODER_BASELINES = ("mask_token", "pad_token", "embedding_zeros")


def causal_tokenizer(kind: str):
    """Of GPT-2's kind, or of Llama's, which takes a whole text for one word; each word is one token."""
    import tokenizers
    from tokenizers import pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    if kind == "gpt2":
        made = tokenizers.Tokenizer(tokenizers.models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=1000, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
        )
        made.train_from_iterator([" ".join(["", *WORDS, "the"]), "the", "a"], trainer)
        return PreTrainedTokenizerFast(tokenizer_object=made, eos_token=END)
    pieces = ["<unk>", END, "▁", ".", *(f"▁{word}" for word in WORDS if word != ".")]
    made = tokenizers.Tokenizer(tokenizers.models.Unigram([(piece, -1.0) for piece in pieces], unk_id=0))
    made.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token=END, unk_token="<unk>")


def save_causal(folder: Path, kind: str, seed: int = 0) -> None:
    """A causal model of one layer with random weights, large enough that its answers differ."""
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    tokenizer = causal_tokenizer(kind)
    ends = {"bos_token_id": tokenizer.eos_token_id, "eos_token_id": tokenizer.eos_token_id}
    size = {"vocab_size": len(tokenizer), "initializer_range": 0.3, **ends}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if kind == "gpt2":
            model = GPT2LMHeadModel(GPT2Config(n_positions=32, n_embd=16, n_layer=1, n_head=2, **size))
        else:
            parts = {"num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 32}
            model = LlamaForCausalLM(LlamaConfig(hidden_size=16, intermediate_size=16, **parts, **size))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="session")
def causals(tmp_path_factory) -> Path:
    """Of each kind the networks before and after, and a run of the Trainer; and the table of prompts."""
    folder = tmp_path_factory.mktemp("causals")
    for kind in KINDS:
        for seed, name in enumerate(("before", "after", "run/checkpoint-5", "run/checkpoint-10", "run")):
            save_causal(folder / kind / name, kind, seed)
    rows = [f"{prompt},{target}" for prompt, target in PROMPTS.items()]
    (folder / "prompts.csv").write_text("\n".join(["prompt,target", *rows]) + "\n", encoding="utf-8")
    return folder


def asking(command: str, kind: str, causals: Path, out: Path, *more: str) -> list[str]:
    return [
        command,
        f"--model=causal:{causals / kind / 'before'}",
        "--score=next_token_log_odds",
        f"--data={causals / 'prompts.csv'}",
        "--inputs=4",
        "--players=words:3",
        "--method=and",
        f"--out={out}",
        *more,
    ]


def loaded(folder: Path, causal: bool = True):
    """The network and tokenizer of a folder, by their library alone."""
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

    auto = AutoModelForCausalLM if causal else AutoModelForSequenceClassification
    return auto.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def log_odds(logits: Tensor, label: int) -> float:
    """log p / (1 − p), from the probabilities."""
    others = [math.exp(z) for i, z in enumerate(logits.double().tolist()) if i != label]
    return logits[label].item() - math.log(sum(others))


def masked_by_hand(model, ids: list[int], players: list[int], baseline: int | str, label: int) -> Tensor:
    """The scores of one prompt, alone and without padding; players number the token positions, −1 none."""
    scores = []
    for present in itertools.product((False, True), repeat=max(players) + 1):
        absent = [player >= 0 and not present[player] for player in players]
        if baseline == "embedding_zeros":
            embedded = model.get_input_embeddings()(torch.tensor([ids])).clone()
            embedded[0, torch.tensor(absent)] = 0
            outputs = model(inputs_embeds=embedded).logits
        else:
            filled = [baseline if gone else token for gone, token in zip(absent, ids, strict=True)]
            outputs = model(input_ids=torch.tensor([filled])).logits
        scores.append(log_odds(outputs.detach().reshape(-1, outputs.shape[-1])[-1], label))
    return torch.tensor(scores, dtype=torch.float64)


def words_of(run: Run, game: int) -> tuple[str, list[int]]:
    """The sentence of a game, and the player of each of its words."""
    pieces = run.store.settings["sentences"][game]
    return " ".join(word for word, _ in pieces), [player for _, player in pieces]


def causal_tables(run: Run, folder: Path, baseline: str) -> Tensor:
    """All tables of a run of a causal model, by hand. Every word is one token here."""
    model, tokenizer = loaded(folder)
    fill = tokenizer.eos_token_id if baseline == "pad_token" else baseline
    tables = []
    for game in range(run.store.games):
        prompt, players = words_of(run, game)
        target = tokenizer.convert_tokens_to_ids(spelled(tokenizer, PROMPTS[prompt]))
        ids = tokenizer(prompt)["input_ids"]
        assert len(ids) == len(players)
        tables.append(masked_by_hand(model, ids, players, fill, target))
    return torch.stack(tables)


def spelled(tokenizer, target: str) -> str:
    mark = "Ġ" if "Ġ" in tokenizer.get_vocab() else "▁"
    return target if target == "." else mark + target


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("baseline", ["pad_token", "embedding_zeros", "auto"])
def test_tables_of_a_causal_model(kind, baseline, causals, tmp_path):
    main(asking("compute", kind, causals, tmp_path, f"--baseline={baseline}"))
    run = Run.open(tmp_path)
    assert run.store.settings["baseline"] == ("embedding_zeros" if baseline == "auto" else baseline)
    expected = causal_tables(run, causals / kind / "before", run.store.settings["baseline"])
    torch.testing.assert_close(run.store.v("network"), expected, rtol=0, atol=FLOAT32)
    assert expected.std(1).min() > 100 * FLOAT32  # a table of one number would be no test
    assert sorted(run.store.settings["labels"]) == sorted(PROMPTS.values())


@pytest.mark.parametrize("kind", KINDS)
def test_words_of_prompts_chosen_by_influence(kind, causals, tmp_path, capsys):
    main(asking("compute", kind, causals, tmp_path, "--choose=influence"))
    assert "APPROXIMATE: 3 of 3 to 6 words chosen by influence" in capsys.readouterr().out
    run = Run.open(tmp_path)
    expected = causal_tables(run, causals / kind / "before", "embedding_zeros")
    torch.testing.assert_close(run.store.v("network"), expected, rtol=0, atol=FLOAT32)
    assert [max(words_of(run, game)[1]) for game in range(4)] == [2] * 4


@pytest.mark.parametrize("kind", KINDS)
def test_accuracy_is_of_the_next_token(kind, causals, tmp_path):
    main(asking("compute", kind, causals, tmp_path))
    model, tokenizer = loaded(causals / kind / "before")
    right, losses = [], []
    for prompt, target in PROMPTS.items():
        logits = model(**tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)).logits[0, -1]
        token = tokenizer.convert_tokens_to_ids(spelled(tokenizer, target))
        right.append(int(logits.argmax()) == token)
        losses.append(-logits.double().log_softmax(0)[token].item())
    row = Run.open(tmp_path).performance.iloc[0]
    assert row.accuracy == sum(right) / len(right)
    assert row.loss == pytest.approx(sum(losses) / len(losses), abs=FLOAT32)
    assert row.inputs == len(PROMPTS)


def test_the_own_next_token(causals, tmp_path):
    main(asking("compute", "gpt2", causals, tmp_path, "--label=predicted"))
    run = Run.open(tmp_path)
    model, tokenizer = loaded(causals / "gpt2/before")
    for game in range(4):
        prompt, _ = words_of(run, game)
        logits = model(torch.tensor([tokenizer(prompt)["input_ids"]])).logits[0, -1]
        best = int(logits.argmax())
        assert run.store.settings["labels"][game] == tokenizer.convert_ids_to_tokens(best)
        assert run.store.v("network")[game, -1].item() == pytest.approx(log_odds(logits, best), abs=FLOAT32)


def test_two_checkpoints_of_a_causal_model(causals, tmp_path):
    named = [f"--{name}={causals / 'gpt2' / name}" for name in ("before", "after")]
    main(asking("compare", "gpt2", causals, tmp_path, "--baseline=pad_token", *named))
    run = Run.open(tmp_path)
    for name in ("before", "after"):
        expected = causal_tables(run, causals / "gpt2" / name, "pad_token")
        torch.testing.assert_close(run.store.v(name), expected, rtol=0, atol=FLOAT32)
    assert (run.store.v("before") - run.store.v("after")).abs().min() > FLOAT32
    assert {"change.csv", "games.csv", "report.html"} <= {path.name for path in tmp_path.iterdir()}
    assert "accuracy of after" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_run_of_the_trainer_of_a_causal_model(causals, tmp_path):
    series = ["--series", f"tuned={causals / 'llama/run'}", f"--pretrained={causals / 'llama/before'}"]
    main(asking("track", "llama", causals, tmp_path, *series))
    run = Run.open(tmp_path)
    for step in (5, 10):
        folder = causals / "llama/run" / f"checkpoint-{step}"
        expected = causal_tables(run, folder, "embedding_zeros")
        torch.testing.assert_close(run.store.v(f"tuned@{step}"), expected, rtol=0, atol=FLOAT32)
    table = read_table(tmp_path / "trajectories.h5")
    assert set(table.step) == {5, 10}
    assert {"accuracy held out", "preserved", "reached"} <= set(table.quantity)


def bert_tables(run: Run, folder: Path, baseline: str, classes: list[str]) -> Tensor:
    """All tables of a run of a classifier, by hand. Every word is one token, behind [CLS]."""
    model, tokenizer = loaded(folder, causal=False)
    fill = getattr(tokenizer, f"{baseline}_id", baseline)
    tables = []
    for game, label in enumerate(run.store.settings["labels"]):
        sentence, players = words_of(run, game)
        ids = tokenizer(sentence)["input_ids"]
        tables.append(masked_by_hand(model, ids, [-1, *players, -1], fill, classes.index(label)))
    return torch.stack(tables)


@pytest.fixture(scope="module")
def classifiers(berts, tmp_path_factory) -> Path:
    """Networks before and after and a run of the Trainer, with weights so large that words matter."""
    folder = tmp_path_factory.mktemp("classifiers")
    words = text_networks.MASKED_WORDS
    tokenizer = text_networks.tokenizer(folder / "vocabulary", words)
    for seed, name in enumerate(("before", "after", "run/checkpoint-5", "run/checkpoint-10")):
        text_networks.save_bert(folder / name, tokenizer, seed=seed, words=words, spread=0.5)
    return folder


@pytest.mark.parametrize("choose", ["random", pytest.param("influence", marks=pytest.mark.slow)])
@pytest.mark.parametrize("baseline", ENCODER_BASELINES)
def test_tables_of_a_classifier(baseline, choose, berts, classifiers, tmp_path):
    """Two checkpoints to compare and a run to track: each table against the same loop."""
    asked = {
        "model": f"transformers:{classifiers / 'before'}",
        "data": berts / "questions.csv",
        "text_column": "question",
        "label_columns": ("verdict",),
        "inputs": 4,
        "players": "words:3",
        "method": "and",
        "baseline": baseline,
        "choose": choose,
    }
    before, after = (str(classifiers / name) for name in ("before", "after"))
    studies = (
        Compare(**asked, before=before, after=after, out=tmp_path / "compared"),
        Track(**asked, series=(f"run={classifiers / 'run'}",), out=tmp_path / "tracked"),
    )
    for study in studies:
        run = compute(study, progress=False)
        for name, folder in study.checkpoints.items():
            expected = bert_tables(run, Path(folder), baseline, list(text_networks.CLASSES))
            torch.testing.assert_close(run.store.v(name), expected, rtol=0, atol=FLOAT32)
            assert expected.std(1).max() > 100 * FLOAT32


@pytest.mark.parametrize("kind", KINDS)
def test_words_to_tokens(kind):
    tokenizer = causal_tokenizer(kind)
    numbers = models.next_tokens(tokenizer, ["cat", " cat", spelled(tokenizer, "cat"), ".", END])
    mark = spelled(tokenizer, "")
    expected = [f"{mark}cat"] * 3 + [".", END]
    assert tokenizer.convert_ids_to_tokens(numbers) == expected


@pytest.mark.parametrize(("kind", "pieces"), [("gpt2", "Ġ, z, e, b, r, a"), ("llama", "▁, <unk>")])
def test_words_that_are_no_single_token(kind, pieces):
    with pytest.raises(ValueError, match=f"several or none for 'zebra' .{pieces}.: leave these rows out"):
        models.next_tokens(causal_tokenizer(kind), ["cat", "zebra"])


@pytest.mark.parametrize("kind", KINDS)
def test_padding_moves_no_prompt(kind, causals):
    network = models.load(f"causal:{causals / kind / 'before'}")
    batch = network.preprocess(list(PROMPTS))
    assert batch["position_ids"][2].tolist() == [0, 0, 0, 1, 2, 3]
    for row, prompt in zip(network.logits(batch), PROMPTS, strict=True):
        alone, tokenizer = loaded(causals / kind / "before")
        expected = alone(torch.tensor([tokenizer(prompt)["input_ids"]])).logits[0, -1]
        torch.testing.assert_close(row, expected.detach(), rtol=0, atol=FLOAT32)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--score=log_odds"], "predicts the next token: score it with --score next_token_log_odds"),
        (["--baseline=mask_token"], "the tokenizer has no mask_token; use --baseline pad_token or embed"),
        (["--data={folder}/zebra.csv", "--inputs=1"], "for 'zebra' (Ġ, z, e, b, r, a)"),
    ],
)
def test_what_cannot_be_asked_of_a_causal_model(more, said, causals, refused, tmp_path):
    (tmp_path / "zebra.csv").write_text("prompt,target\nthe good bad cat,zebra\n", encoding="utf-8")
    more = [one.format(folder=tmp_path) for one in more]
    checkpoint = f"--checkpoint={causals / 'gpt2/before'}"
    assert said in refused(*asking("compute", "gpt2", causals, tmp_path / "run", checkpoint, *more))


def test_next_tokens_of_pictures(options, refused, tmp_path):
    more = ["--score=next_token_log_odds", "--level=fine", f"--out={tmp_path / 'run'}"]
    said = refused("compare", *options, *more)
    assert "next_token_log_odds needs a language model's outputs, and small:cnn has no tokens" in said
