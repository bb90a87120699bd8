"""Checkpoints of Lightning: networks under any attribute, beside metrics, criteria, averages and settings."""

import argparse
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from tests.trainers.pictures import TRAINED, right_answers
from tests.trainers.readings import right_in_python

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]
lightning = pytest.importorskip("lightning")


class Loop(lightning.LightningModule):
    """A training script's module; where the network is differs by class."""

    def __init__(self):
        super().__init__()
        self.place(WRITTEN[0])

    def place(self, network):
        raise NotImplementedError

    def training_step(self, batch, number):
        inputs, labels = batch
        return F.cross_entropy(self(inputs), labels)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)


def placed(attribute: str) -> type:
    """A module whose network is an attribute of that name."""

    class Placed(Loop):
        def place(self, network):
            setattr(self, attribute, network)

        def forward(self, pixels):
            return getattr(self, attribute)(pixels)

    return Placed


class Split(Loop):
    """The network's parts are attributes of the module itself."""

    def place(self, network):
        self.features, self.head = network.features, network.head

    def forward(self, pixels):
        return self.head(self.features(pixels))


class Measured(placed("net")):
    """With a criterion that has weights, metrics that have states, and a table for augmentation."""

    def place(self, network):
        from torchmetrics import MetricCollection
        from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

        super().place(network)
        self.criterion = torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 1.1, 0.9]))
        metrics = {"accuracy": MulticlassAccuracy(3), "confusion": MulticlassConfusionMatrix(3)}
        self.metrics = MetricCollection(metrics)
        for metric in self.metrics.values():
            metric.persistent(True)
        self.register_buffer("colours", torch.rand(4, 3))

    def training_step(self, batch, number):
        inputs, labels = batch
        outputs = self(inputs)
        self.metrics.update(outputs, labels)
        return self.criterion(outputs, labels)


class Compiled(placed("model")):
    """The network is compiled, and its module has no forward of its own."""

    def place(self, network):
        super().place(torch.compile(network, backend="eager"))


MODULES = {
    "net": placed("net"),
    "model": placed("model"),
    "classifier": placed("classifier"),
    "split": Split,
    "measured": Measured,
    "compiled": Compiled,
}
WRITTEN: list = [None]


@pytest.fixture
def fit(pictures, samples, tmp_path):
    """Trains a module with callbacks; returns it with its trainer."""

    def run(kind, *callbacks, epochs=8, **options):
        WRITTEN[0] = pictures.network()
        module = kind(**options)
        trainer = lightning.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            callbacks=list(callbacks),
            enable_checkpointing=any("Checkpoint" in type(each).__name__ for each in callbacks),
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )
        torch.manual_seed(0)
        trainer.fit(module, DataLoader(TensorDataset(*samples("train")), batch_size=20, shuffle=True))
        return module, trainer

    return run


@pytest.mark.parametrize("kind", MODULES)
def test_a_network_under_any_attribute(pictures, samples, harsanyi, fit, tmp_path, kind):
    module, trainer = fit(MODULES[kind])
    right = right_answers(module, samples("test"))
    file = tmp_path / "last.ckpt"
    trainer.save_checkpoint(file)
    options = ("--model", pictures.model, "--checkpoint", file, "--data", pictures.test)
    assert harsanyi.taught("compute", *options) == {"network": right}
    assert right_in_python(pictures.model, file, pictures.test, classes=TRAINED) == right


class Settings:
    """A training script's own settings, pickled into the checkpoint."""

    def __init__(self):
        self.rate, self.layers = 0.1, [1, 2]


def test_hyperparameters_of_any_kind(pictures, samples, harsanyi, fit, tmp_path):
    """Nothing of them is run: paths, namespaces and objects are read as inert."""

    class Described(placed("net")):
        def __init__(self, folder, arguments, classes):
            super().__init__()
            self.save_hyperparameters()

    arguments = argparse.Namespace(rate=0.01, data=Path("photos"))
    module, trainer = fit(Described, folder=Path("runs"), arguments=arguments, classes=list(TRAINED))
    right = right_answers(module, samples("test"))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    # The names of the classes are among the settings.
    options = ("--model", pictures.model, "--checkpoint", tmp_path / "last.ckpt", "--data", pictures.test)
    assert harsanyi.right("compute", *options) == {"network": right}


def test_hyperparameters_of_omegaconf(pictures, samples, harsanyi, fit, tmp_path):
    omegaconf = pytest.importorskip("omegaconf")

    class Configured(placed("net")):
        def __init__(self, config):
            super().__init__()
            self.save_hyperparameters()

    config = omegaconf.OmegaConf.create({"rate": 0.1, "classes": list(TRAINED), "nested": {"width": 3}})
    module, trainer = fit(Configured, config=config)
    right = right_answers(module, samples("test"))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    options = ("--model", pictures.model, "--checkpoint", tmp_path / "last.ckpt", "--data", pictures.test)
    assert harsanyi.right("compute", *options) == {"network": right}


def test_settings_of_a_class_of_the_script_are_refused(pictures, harsanyi, fit, tmp_path):
    """Where the class is in a module of its own, the sentence says what to save."""

    class Described(placed("net")):
        def __init__(self, settings):
            super().__init__()
            self.save_hyperparameters()

    _, trainer = fit(Described, epochs=1, settings=Settings())
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    options = ("--model", pictures.model, "--checkpoint", tmp_path / "last.ckpt", "--data", pictures.test)
    assert "torch.save(model.state_dict(), 'weights.pt')" in harsanyi.refusal("compute", *options)


def test_averages_by_callbacks(pictures, samples, harsanyi, fit, tmp_path):
    """An EMA callback keeps the trained weights aside; SWA leaves the average in the network itself."""
    from lightning.pytorch import callbacks

    average = callbacks.EMAWeightAveraging(decay=0.8)
    module, trainer = fit(placed("net"), average)
    trainer.save_checkpoint(tmp_path / "ema.ckpt")
    shared = ("--model", pictures.model, "--data", pictures.test, "--classes", *TRAINED)
    right = right_answers(module, samples("test"))  # the callback leaves the average in the module
    assert harsanyi.right("compute", "--checkpoint", tmp_path / "ema.ckpt", *shared) == {"network": right}

    module, trainer = fit(placed("net"), callbacks.StochasticWeightAveraging(swa_lrs=0.01, swa_epoch_start=4))
    trainer.save_checkpoint(tmp_path / "swa.ckpt")
    right = right_answers(module, samples("test"))
    assert harsanyi.right("compute", "--checkpoint", tmp_path / "swa.ckpt", *shared) == {"network": right}


def test_a_run_with_a_checkpoint_each_epoch(pictures, samples, harsanyi, fit, tmp_path):
    """ModelCheckpoint's files as a series, and its first and last compared."""
    from lightning.pytorch.callbacks import ModelCheckpoint

    folder = tmp_path / "kept"
    module, _ = fit(
        placed("net"), ModelCheckpoint(folder, save_top_k=-1, every_n_epochs=4, save_last=True), epochs=12
    )
    files = sorted(folder.glob("epoch=*.ckpt"), key=lambda file: int(file.stem.rpartition("=")[2]))
    assert [file.name for file in files] == [
        "epoch=3-step=12.ckpt",
        "epoch=7-step=24.ckpt",
        "epoch=11-step=36.ckpt",
    ]
    last = right_answers(module, samples("test"))
    shared = ("--model", pictures.model, "--data", pictures.test, "--classes", *TRAINED)
    tracked = harsanyi.right("track", f"--series=run={folder}", *shared)
    assert list(tracked) == ["run@12", "run@24", "run@36"]
    assert tracked["run@36"] == last
    compared = harsanyi.right("compare", "--before", files[0], "--after", files[-1], *shared)
    assert compared == {"before": tracked["run@12"], "after": last}
