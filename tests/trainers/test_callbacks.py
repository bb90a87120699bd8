"""Callbacks in real trainers: the same training, bit for bit, and what TensorBoard's and W&B's files hold."""

import copy
import json
import struct
import time
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from harsanyi.analyses import Run
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.run.watched import Watched
from harsanyi.callbacks import HuggingFaceCallback, LightningCallback, Watch
from harsanyi.interactions import Interactions, MaskedModel, Players, extract

pytestmark = pytest.mark.filterwarnings("ignore")

SHARES = {"knowledge/preserved_share", "knowledge/discarded_share", "knowledge/new_share"}
# Of 60 samples in batches of 20, three epochs.
STEPS = 9


class Net(nn.Module):
    """With dropout and batch norm; called by Hugging Face's trainer and by Lightning's."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten()
        )
        self.head = nn.Linear(64, 3)

    def forward(self, pixel_values, labels=None):
        logits = self.head(self.layers(pixel_values))
        return (
            {"logits": logits}
            if labels is None
            else {"loss": F.cross_entropy(logits, labels), "logits": logits}
        )


def samples():
    draws = torch.Generator().manual_seed(1)
    return torch.randn(60, 1, 4, 4, generator=draws), torch.randint(3, (60,), generator=draws)


class Rows(Dataset):
    """Samples with noise that is drawn when they are read, as augmentation is."""

    def __len__(self):
        return 60

    def __getitem__(self, row):
        pixels, labels = samples()
        return {"pixel_values": pixels[row] + 0.1 * torch.randn(1, 4, 4), "labels": labels[row]}


def network():
    torch.manual_seed(0)
    return Net()


def watch_in(folder, **options) -> Watch:
    pixels, labels = samples()
    settings = {"every": 2, "method": "and-or", "seconds": 100.0} | options
    return Watch(
        inputs={"pixel_values": pixels[:3]},
        masked="pixel_values",
        labels=labels[:3],
        players=Players.grid(4, 4, 2, 2),
        folder=folder,
        **settings,
    )


def require_same(first, second):
    """Weights and buffers of two networks, and the states of their optimisers, are the same bits."""
    (one, its_optimizer), (other, optimizer) = first, second
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    assert [name for (name, here), (_, there) in pairs if not torch.equal(here, there)] == []
    states = [each.state_dict()["state"] for each in (its_optimizer, optimizer)]
    assert states[0].keys() == states[1].keys()
    assert states[0]
    for number, state in states[0].items():
        for name, value in state.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(states[1][number][name])), name


def scalars(folder) -> dict[str, list]:
    """All scalars of TensorBoard's event files in a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for file in sorted(folder.rglob("events.out.tfevents.*")):
        events = EventAccumulator(str(file)).Reload()
        for name in events.Tags()["scalars"]:
            found.setdefault(name, []).extend(events.Scalars(name))
    return found


def hugging_face(folder, watch=None, **options):
    """A network that transformers' Trainer trains, its optimiser, and the losses that it logs."""
    from transformers import Trainer, TrainingArguments

    settings = {"report_to": [], "use_cpu": True} | options
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=3,
        per_device_train_batch_size=20,
        learning_rate=0.01,
        logging_steps=1,
        eval_strategy="steps",
        eval_steps=4,
        save_strategy="no",
        disable_tqdm=True,
        seed=0,
        **settings,
    )
    trainer = Trainer(model=network(), args=arguments, train_dataset=Rows(), eval_dataset=Rows())
    if watch is not None:
        trainer.add_callback(HuggingFaceCallback(trainer, watch))
    trainer.train()
    losses = [(log["step"], log["loss"]) for log in trainer.state.log_history if "loss" in log]
    return trainer.model, trainer.optimizer, losses


class Module(pytest.importorskip("lightning").LightningModule):
    """A training script's module."""

    def __init__(self):
        super().__init__()
        self.net = network()
        self.losses = []

    def training_step(self, batch, number):
        loss = self.net(*batch)["loss"]
        self.losses.append(float(loss))
        return loss

    def validation_step(self, batch, number):
        self.log("val", self.net(*batch)["loss"])

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.01)


def lightning_trains(folder, watch=None, logger=False, **options):
    """A network that Lightning's Trainer trains, its optimiser, and its losses."""
    import lightning

    lightning.seed_everything(0, verbose=False)
    module = Module()
    trainer = lightning.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=logger,
        callbacks=[LightningCallback(watch)] if watch else [],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        log_every_n_steps=1,
        **options,
    )
    rows = TensorDataset(*samples())
    trainer.fit(module, DataLoader(rows, batch_size=20, shuffle=True), DataLoader(rows, batch_size=20))
    return module.net, trainer.optimizers[0], module.losses


def test_hugging_face_trains_the_same_bits(tmp_path):
    *alone, losses = hugging_face(tmp_path / "alone")
    *watched, its_losses = hugging_face(tmp_path / "watched", watch_in(tmp_path / "run", every=1))
    require_same(alone, watched)
    assert losses == its_losses
    assert Watched.read(tmp_path / "run").steps == tuple(range(STEPS + 1))


def test_lightning_trains_the_same_bits(tmp_path):
    *alone, losses = lightning_trains(tmp_path / "alone")
    *watched, its_losses = lightning_trains(
        tmp_path / "watched", watch_in(tmp_path / "run", every=1, network="net")
    )
    require_same(alone, watched)
    assert losses == its_losses
    assert Watched.read(tmp_path / "run").steps == tuple(range(STEPS + 1))


def test_steps_are_those_of_the_optimiser(tmp_path):
    """Batches whose gradients are gathered are no steps."""
    *alone, losses = lightning_trains(tmp_path / "alone", accumulate_grad_batches=3)
    watch = watch_in(tmp_path / "run", every=1, network="net")
    *watched, its_losses = lightning_trains(tmp_path / "watched", watch, accumulate_grad_batches=3)
    require_same(alone, watched)
    assert losses == its_losses
    assert Watched.read(tmp_path / "run").steps == (0, 1, 2, 3)
    gathered = watch_in(tmp_path / "hf", every=1)
    hugging_face(tmp_path / "watched", gathered, gradient_accumulation_steps=3)
    assert Watched.read(tmp_path / "hf").steps == (0, 1, 2, 3)


def test_hugging_face_logs_to_tensorboard(tmp_path, monkeypatch):
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "events"))
    model, _, _ = hugging_face(tmp_path / "hf", watch_in(tmp_path / "run"), report_to=["tensorboard"])
    found = scalars(tmp_path)
    assert {f"train/{name}" for name in SHARES} <= found.keys()
    events = found["train/knowledge/preserved_share"]
    assert [event.step for event in events] == [0, 2, 4, 6, 8, 9]
    assert events[0].value == 1.0
    assert [event.value for event in found["train/knowledge/step"]] == [0, 2, 4, 6, 8, 9]
    assert "train/loss" in found  # beside the trainer's own
    require_interactions_of_the_end(tmp_path / "run", model)


def test_lightning_logs_to_tensorboard(tmp_path):
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

    loggers = [TensorBoardLogger(tmp_path / "events"), CSVLogger(tmp_path / "csv")]
    model, _, _ = lightning_trains(tmp_path, watch_in(tmp_path / "run", network="net"), logger=loggers)
    found = scalars(tmp_path / "events")
    assert found.keys() >= SHARES
    assert [event.step for event in found["knowledge/new_share"]] == [0, 2, 4, 6, 8, 9]
    (table,) = (tmp_path / "csv").rglob("metrics.csv")
    assert "knowledge/preserved_share" in table.read_text(encoding="utf-8")
    require_interactions_of_the_end(tmp_path / "run", model)


def require_interactions_of_the_end(folder, model):
    """The last step's interactions are the trained network's; `harsanyi track` opens the folder."""
    watch = watch_in(folder)
    game = MaskedModel(copy.deepcopy(model).cpu(), watch.inputs, watch.players, labels=watch.labels)
    expected = extract(game, watch.study.extraction(), progress=False)
    found = Interactions.load(folder / f"interactions-run@{STEPS}.h5")
    # The same forwards, in batches of another size: float32 rounding of outputs of about 1.
    assert torch.allclose(found.effects, expected.effects, rtol=0, atol=1e-4)
    main(["track", str(folder / "study.toml")])
    assert f"run@{STEPS}" in Run.open(folder).interactions


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["hugging face", "lightning"])
def test_weights_and_biases_offline(tmp_path, monkeypatch, trainer):
    """What is logged stands in the run's own file, which W&B syncs later."""
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    if trainer == "lightning":
        from lightning.pytorch.loggers import WandbLogger

        logger = WandbLogger(project="test", save_dir=tmp_path, offline=True)
        lightning_trains(tmp_path, watch_in(tmp_path / "run", network="net"), logger=logger)
    else:
        hugging_face(tmp_path / "hf", watch_in(tmp_path / "run"), report_to=["wandb"])
    wandb.finish()
    (file,) = tmp_path.rglob("run-*.wandb")
    shares: list[float] = []
    deadline = time.monotonic() + 120  # a process of W&B's own writes the file, and takes its time
    while len(shares) < 6 and time.monotonic() < deadline:
        rows = history(file)
        shares = [row[name] for row in rows for name in row if name.endswith("knowledge/preserved_share")]
        time.sleep(0.1)
    assert len(shares) == 6
    assert shares[0] == 1.0


def history(file) -> list[dict]:
    """The rows that were logged, from the file of an offline run."""
    from wandb.proto import wandb_internal_pb2

    rows = []
    for data in records(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            rows.append(
                {each.key or "/".join(each.nested_key): json.loads(each.value_json) for each in items}
            )
    return rows


def records(content: bytes) -> Iterator[bytes]:
    """The records of a log as LevelDB writes it: blocks of 32 KiB, in them pieces with a header of 7 bytes.

    A header is a checksum of 4 bytes, a length of 2 and a kind of 1: a whole record, or its first, a middle
    or its last piece. W&B's own header of 7 bytes stands before all of them.
    """
    place, record, (whole, first, _, last) = 7, b"", (1, 2, 3, 4)
    while place + 7 <= len(content):
        if (left := -place % 2**15) and left < 7:
            place += left  # no header fits the rest of a block
        length, kind = struct.unpack_from("<HB", content, place + 4)
        piece = content[place + 7 : place + 7 + length]
        record = piece if kind in (whole, first) else record + piece
        if kind in (whole, last):
            yield record
        place += 7 + length
