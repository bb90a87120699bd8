"""The recipes of the start page's "Your checkpoints in ten minutes" run as they stand, on smaller numbers."""

import json
import re
import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import timm
import torch
from torch.utils.data import DataLoader, TensorDataset

from harsanyi.analyses.command.cli import main
from harsanyi.analyses.command.commands import COMMANDS
from harsanyi.analyses.command.options import parse_options
from tests.places import ROOT
from tests.trainers.pictures import NETWORK, TRAINED, right_answers, train
from tests.trainers.sentences import DECLARED
from tests.trainers.test_hugging_face_text import tiny_bert
from tests.trainers.test_timm import MODEL, prepared

SMALLER = {
    "resnet50": MODEL,
    "--inputs 50": "--inputs 3",
    "grid:4x4:12": "grid:2x2",
    "grid:4x4:10": "grid:2x2",
    "words:8": "words:2",
}
# What some recipes import.
PACKAGES = {"Lightning": "lightning", "LoRA": "peft"}


def recipes() -> dict[str, list[tuple[str, str]]]:
    """The blocks of each recipe, as (language, text), by its title."""
    page = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")
    section = page.partition("## Your checkpoints in ten minutes\n")[2].partition("\n## ")[0]
    _, *parts = re.split(r"^\*\*(.+?)\.\*\*", section, flags=re.MULTILINE)
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return {
        title: re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE) for title, text in pairs
    }


def arguments(block: str) -> list[str]:
    """The words of a command after `harsanyi`."""
    name, *words = shlex.split(block.replace("\\\n", " "))
    assert name == "harsanyi"
    return words


@pytest.mark.parametrize("title", recipes())
def test_commands_have_options_that_exist(title):
    commands = [arguments(text) for language, text in recipes()[title] if not language]
    assert commands
    for name, *options in commands:
        parse_options(name, COMMANDS[name].settings, options)


def photos(pictures, folder: Path) -> None:
    shutil.copytree(pictures.test, folder / "photos" / "test")
    shutil.copytree(pictures.train, folder / "photos" / "train")


def reviews(sentences, folder: Path) -> None:
    (folder / "reviews").mkdir()
    for split in ("train", "test"):
        shutil.copy(sentences.folder / f"{split}.csv", folder / "reviews")
    from transformers import BertModel

    BertModel(tiny_bert().config).save_pretrained(folder / "bert-base-uncased")
    sentences.tokenizer().save_pretrained(folder / "bert-base-uncased")


def earlier_files(pictures, model, samples, folder: Path) -> None:
    """What a reader has before the recipes begin."""
    from timm.utils import CheckpointSaver, ModelEmaV3

    (folder / "networks.py").write_text(NETWORK.partition("\n\ndef build")[0], encoding="utf-8")
    own = pictures.network()
    for epoch in (1, 8):
        train(own, samples("train"), epochs=epoch)
        torch.save(own.state_dict(), folder / f"epoch{epoch}.pth")
    torch.save(timm.create_model(MODEL, num_classes=5).state_dict(), folder / "pretrained.pth")
    (folder / "output" / "train" / "run").mkdir(parents=True)
    optimizer = torch.optim.AdamW(model.parameters())
    saver = CheckpointSaver(
        model,
        optimizer,
        args=SimpleNamespace(model=MODEL),
        model_ema=ModelEmaV3(model),
        checkpoint_dir=str(folder / "output" / "train" / "run"),
        max_history=5,
    )
    for epoch in (0, 1):
        saver.save_checkpoint(epoch, metric=epoch)


class Learner(torch.nn.Module):
    """A method that learns without labels: a backbone and a projector."""

    def __init__(self):
        super().__init__()
        self.backbone = timm.create_model(MODEL, num_classes=0)
        self.projector = torch.nn.Linear(self.backbone.num_features, 16)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_recipes_run_as_they_stand(pictures, sentences, samples, tmp_path, monkeypatch, capsys):
    """One after the other, as later ones use files of earlier ones."""
    monkeypatch.chdir(tmp_path)
    photos(pictures, tmp_path)
    reviews(sentences, tmp_path)
    torch.manual_seed(0)
    model = timm.create_model(MODEL, num_classes=3)
    size = timm.data.resolve_model_data_config(model)
    training, test = (prepared(pictures, split, size) for split in ("train", "test"))
    train(model, training, torch.optim.AdamW(model.parameters(), lr=1e-3), epochs=4)
    earlier_files(pictures, model, samples, tmp_path)
    tokenizer = sentences.tokenizer()
    rows = sentences.split("train").select(range(80))
    variables = everything() | {
        "model": model,
        "classes": list(TRAINED),
        "loader": DataLoader(TensorDataset(*training), batch_size=20),
        "rank": 0,
        "epoch": 3,
        "learner": Learner(),
        "tokenizer": tokenizer,
        "train_set": rows.map(lambda row: tokenizer(row["text"])),
        "accelerator": accelerator(),
    }
    measured = {}
    for title, blocks in recipes().items():
        if find_spec(PACKAGES.get(title, "torch")) is None:
            continue
        if title == "Hugging Face":
            variables["classes"] = list(DECLARED)
        if title == "accelerate":
            variables |= {"model": model, "classes": list(TRAINED)}
        for language, text in blocks:
            for usual, small in SMALLER.items():
                text = text.replace(usual, small)
            if text.startswith("# net.py"):
                (tmp_path / "net.py").write_text(text, encoding="utf-8")
            elif language == "python":
                exec(compile(text, title, "exec"), variables)
            else:
                measured[title] = accuracies(text)
    right = right_answers(model, test) / len(test[1])
    for title in ("A loop of your own", "Learned without labels"):
        assert measured[title]["after"] == right
    for title in ("accelerate", "Several processes"):
        assert measured[title]["network"] == right
    said = capsys.readouterr().out
    assert said.count("READ-OUT in place of its head") == 3  # another head, no head of BERT, a projector


@pytest.mark.slow
def test_a_backbone_and_a_head_side_by_side(pictures, harsanyi, tmp_path):
    """The file that docs/checkpoints.md shows; without it the head is never replaced unasked."""
    page = (ROOT / "docs" / "checkpoints.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(# net.py\n.*?)^```", page, re.DOTALL | re.MULTILINE)
    code = code.replace("resnet50", MODEL)
    variables: dict = {}
    exec(compile(code, "checkpoints.md", "exec"), variables)
    size = timm.data.resolve_data_config({}, model=timm.create_model(MODEL))
    training, test = (prepared(pictures, split, size) for split in ("train", "test"))
    torch.manual_seed(0)
    model = variables["build"]()
    train(model, training, torch.optim.AdamW(model.parameters(), lr=1e-3), epochs=4)
    right = right_answers(model, test)
    file = tmp_path / "split.ckpt"
    torch.save({"state_dict": model.state_dict(), "class_names": list(TRAINED)}, file)
    whole = f"\npreprocess = {{'size': {size['input_size'][1:]}, 'crop': {size['crop_pct']}, "
    whole += f"'interpolation': '{size['interpolation']}', 'mean': {size['mean']}, 'std': {size['std']}}}\n"
    (tmp_path / "net.py").write_text(code + whole, encoding="utf-8")
    options = ("--checkpoint", file, "--data", pictures.test)
    assert harsanyi.right("compute", "--model", f"{tmp_path / 'net.py'}:build", *options) == {
        "network": right
    }
    alone = ("compute", "--model", f"timm:{MODEL}", *options, "--train-data", pictures.train)
    assert "seems to have a head of 3 classes" in harsanyi.refusal(*alone)
    harsanyi.right(*alone, "--read-out", "network")
    assert "State_dict.head (3 outputs) may be its own head" in harsanyi.said().out


def accuracies(command: str) -> dict[str, float]:
    """The accuracies on held-out inputs that a command measures."""
    name, *options = arguments(command)
    out = Path(options[options.index("--out") + 1])
    shutil.rmtree(out, ignore_errors=True)
    main([name, *options, "--method", "and"])
    facts = json.loads((out / "facts.json").read_text(encoding="utf-8"))
    rows = [row for row in facts["performance"] if row["split"] == "held out"]
    assert rows
    return {row["network"]: row["accuracy"] for row in rows}


def everything() -> dict:
    """What the recipes import at their beginning, as a reader knows it from the trainer's own pages."""
    import torch.nn.functional as F
    from transformers import AutoModelForSequenceClassification, Trainer, TrainingArguments

    names = {
        "torch": torch,
        "timm": timm,
        "F": F,
        "AutoModelForSequenceClassification": AutoModelForSequenceClassification,
        "Trainer": Trainer,
        "TrainingArguments": TrainingArguments,
    }
    if find_spec("lightning") is not None:
        import lightning
        from lightning.pytorch.callbacks import ModelCheckpoint

        names |= {"lightning": lightning, "ModelCheckpoint": ModelCheckpoint}
    if find_spec("peft") is not None:
        from peft import LoraConfig, get_peft_model

        names |= {"LoraConfig": LoraConfig, "get_peft_model": get_peft_model}
    return names


def accelerator():
    """accelerate's own, which outlives the Trainers of the recipes."""
    from accelerate import Accelerator

    return Accelerator(cpu=True)
