"""Checkpoints of Hugging Face's Trainer: text classifiers."""

import shutil

import pytest
import torch

from tests.trainers.readings import right_in_python
from tests.trainers.sentences import DECLARED

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def tiny_bert(seed=0, **options):
    """A BERT of two layers with random weights."""
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=32,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        initializer_range=0.1,
        **options,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return BertForSequenceClassification(config)


def named():
    """The options that give a config its names of classes."""
    return {"id2label": dict(enumerate(DECLARED)), "label2id": {name: i for i, name in enumerate(DECLARED)}}


def trainer_of(model, sentences, folder, learning_rate=2e-3, **options):
    """A Trainer on the sentences, which saves and evaluates each epoch."""
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

    tokenizer = sentences.tokenizer()
    train, test = (
        sentences.split(name).map(lambda rows: tokenizer(rows["text"]), batched=True)
        for name in ("train", "test")
    )
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=5,
        learning_rate=learning_rate,
        per_device_train_batch_size=16,
        per_device_eval_batch_size=64,
        save_strategy="epoch",
        eval_strategy="epoch",
        report_to=[],
        disable_tqdm=True,
        seed=0,
        use_cpu=True,
        **options,
    )
    return Trainer(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=test,
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=lambda given: {"right": int((given.predictions.argmax(-1) == given.label_ids).sum())},
    )


@pytest.fixture(scope="module", params=["named", "unnamed"])
def trained(request, sentences, tmp_path_factory):
    """The folder of a run, and the trainer's own right answers by epoch."""
    folder = tmp_path_factory.mktemp(request.param)
    model = tiny_bert(**(named() if request.param == "named" else {"num_labels": 3}))
    trainer = trainer_of(model, sentences, folder, load_best_model_at_end=True, metric_for_best_model="right")
    trainer.train()
    right = [log["eval_right"] for log in trainer.state.log_history if "eval_right" in log]
    assert len(set(right)) > 1
    assert 22 < max(right) < 45
    assert trainer.evaluate()["eval_right"] == max(right)
    trainer.save_model(str(folder / "best"))
    return folder, right


def checkpoints(folder):
    return sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))


def test_the_ends_of_a_run(sentences, harsanyi, trained):
    """The data set declares the order of its classes: no name is needed."""
    folder, right = trained
    first, *_, last = checkpoints(folder)
    options = ("--model", last, "--before", first, "--after", last, "--data", sentences.test)
    assert harsanyi.right("compare", *options, "--players", "words:2") == {
        "before": right[0],
        "after": right[-1],
    }
    assert right_in_python(str(last), last, sentences.test) == right[-1]


def test_the_best_model(sentences, harsanyi, trained):
    """`load_best_model_at_end` leaves it in the trainer, save_model in a folder; no --checkpoint needed."""
    folder, right = trained
    options = ("--model", f"transformers:{folder / 'best'}", "--data", sentences.test, "--players", "words:2")
    assert harsanyi.right("compute", *options) == {"network": max(right)}


def test_the_run_as_a_series(sentences, harsanyi, trained):
    folder, right = trained
    options = ("--model", folder / "best", f"--series=run={folder}", "--data", sentences.test)
    tracked = harsanyi.right("track", *options, "--players", "words:2")
    assert list(tracked.values()) == right


def test_a_table_has_no_order_of_its_own(sentences, harsanyi, trained):
    """Names in the config are enough; without them the first try says what to say."""
    folder, right = trained
    options = ("--model", folder / "best", "--data", sentences.table, "--players", "words:2")
    read = harsanyi.right if folder.name.startswith("named") else harsanyi.taught
    assert read("compute", *options) == {"network": max(right)}


def test_weights_in_a_bin(sentences, harsanyi, trained, tmp_path):
    """transformers 4 wrote pytorch_model.bin."""
    folder, right = trained
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder / "best")
    shutil.copytree(folder / "best", tmp_path / "bin")
    (tmp_path / "bin" / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "bin" / "pytorch_model.bin")
    options = ("--model", tmp_path / "bin", "--data", sentences.test, "--players", "words:2")
    assert harsanyi.right("compute", *options) == {"network": max(right)}


def test_an_encoder_that_was_pretrained_alone(sentences, harsanyi, trained, tmp_path):
    """A bare BertModel has no head: a read-out answers, and the fine-tuned network with its own head."""
    from transformers import BertModel

    folder, right = trained
    bare = tmp_path / "bare"
    BertModel(tiny_bert(seed=1).config).save_pretrained(bare)
    options = ("--model", folder / "best", "--before", bare, "--after", folder / "best")
    data = ("--data", sentences.test, "--train-data", sentences.folder / "train", "--players", "words:2")
    measured = harsanyi.right("compare", *options, *data)
    assert measured["after"] == max(right)
    assert "READ-OUT" in harsanyi.said().out
