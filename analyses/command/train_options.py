"""The options of `harsanyi train`. Imports no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harsanyi.analyses.study.early_stopping import require_early_stopping
from harsanyi.analyses.study.settings import Settings, option

# The options of each kind of pretraining.
OF_KIND = {
    "contrastive": ("temperature",),
    "masked": ("masked", "patch"),
    "adversarial": ("radius", "attack_steps"),
    "random-labels": ("random_classes",),
}
LABELLED = ("supervised", "adversarial")


@dataclass(frozen=True, kw_only=True)
class Train(Settings):
    """Pretrain or fine-tune a network by one of several kinds, and keep a checkpoint after each epoch.

    The folder then holds a series of checkpoints that `harsanyi track` opens, and history.csv. To fine-tune,
    start from one of them, as --start runs/self/epoch-020.safetensors, whole or as a probe (--transfer).
    """

    model: str
    """Network: timm:resnet50, path/to/net.py:build, …. As for `harsanyi compare`."""
    data: Path
    """Samples to train on: image folder or table. In any form that `harsanyi compare` reads."""
    out: Path
    """Folder for the checkpoints. It holds epoch-000.safetensors (before training), … and history.csv; an
    unfinished training there goes on after its last whole epoch."""
    kind: Literal["supervised", "contrastive", "masked", "adversarial", "random-labels"] = "supervised"
    """What is learned: supervised, contrastive, masked, …. supervised: the labels; contrastive: to tell two
    views of a picture from all others (SimCLR); masked: to predict masked patches (masked autoencoder);
    adversarial: the labels of attacked pictures; random-labels: labels drawn by chance."""
    start: str = "random"
    """Start: random, published, or a checkpoint. A head is kept where its classes are the data's, else newly
    drawn with the seed."""
    transfer: Literal["finetune", "probe"] = "finetune"
    """finetune: all weights, or probe: the head alone. What is trained, with --kind supervised."""
    test_data: Path | None = None
    """Samples that are measured after each epoch. By default a tenth of --data, which is then not trained
    on; random labels are measured on the training samples."""
    validation: float = 0.0
    """Share of the training samples that validates, and is not trained on. The epoch of the lowest loss on it
    is named at the end. Random labels have nothing to validate."""
    patience: int | None = None
    """Stop after so many epochs in a row without a lower loss on the validation samples. By default all
    epochs are trained."""
    level: str | None = None
    """Label column, where the data has several; contrastive, masked and random-labels read none."""
    epochs: int = 20
    """Passes over the samples; 0 only writes the network as it starts."""
    rate: float = 1e-3
    """Learning rate."""
    optimiser: Literal["adamw", "sgd", "plain-sgd"] = "adamw"
    """adamw, sgd (with Nesterov momentum 0.9), or plain-sgd."""
    weight_decay: float = 0.01
    """Of the optimiser."""
    batch_size: int = 64
    """Samples a step."""
    flip: bool = False
    """Mirror half of the images."""
    crop_padding: int = 0
    """Shift images by up to so many pixels."""
    temperature: float = 0.5
    """contrastive: what similarities are divided by."""
    masked: float = 0.75
    """masked: share of the patches that is masked."""
    patch: int | None = None
    """masked: side of a patch in pixels. By default a transformer's own, else the largest that leaves 7 a
    side."""
    radius: float = 0.1
    """adversarial: how far each number of a picture may move, in units of the normalised inputs."""
    attack_steps: int = 7
    """adversarial: steps of the attack; together they reach two and a half times as far."""
    random_classes: int = 10
    """random-labels: number of classes."""
    seed: int = 0
    """Seed of every draw: start, head, held-out samples, order, augmentation, random labels."""
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    """Of the forwards and gradients in training; fp16 needs a GPU. Weights are float32."""
    image_column: str | None = None
    """Column of the images, in tables."""
    text_column: str | None = None
    """Column of the sentences, in tables."""
    label_columns: tuple[str, ...] | None = None
    """Columns of the labels, in tables; or names of the levels of image
    folders, the outermost first: kingdom family species."""
    image_size: int | None = None
    """Pixels a side of the network's input. By default the network's own size."""
    mean: tuple[float, ...] = ()
    """Mean of each channel that is subtracted from pixels between 0 and 1."""
    std: tuple[float, ...] = ()
    """Standard deviation of each channel that pixels between 0 and 1 are divided by."""
    device: str = "auto"
    """cpu, cuda, cuda:1, xpu, … or auto. auto takes the accelerator of this machine, where
    there is one."""

    def require_sense(self) -> None:
        """Refuse options that do not fit together before anything is read; a ValueError names one."""
        for kind, names in OF_KIND.items():
            if kind != self.kind:
                self.refuse_idle(names, f"for --kind {kind}; the kind is {self.kind}")
        if self.kind not in LABELLED:
            self.refuse_idle(("level",), f"for labels, and --kind {self.kind} reads none")
        require_early_stopping(self, self.validation)
        if self.kind != "supervised":
            self.refuse_idle(("transfer",), f"for --kind supervised; the kind is {self.kind}")
        if self.kind == "random-labels":
            self.refuse_idle(
                ("test_data", "validation"),
                "for labels of other samples, and random labels are of the training's alone",
            )
            if self.random_classes < 2:
                raise ValueError(f"{option('random_classes')} is {self.random_classes}: expected 2 or more")
        if self.transfer == "probe" and self.start == "random":
            raise ValueError(
                "--transfer probe trains the head on what the network knows, and --start random knows "
                "nothing: give a checkpoint, as --start runs/self/epoch-020.safetensors"
            )
        if self.out.exists() and not self.out.is_dir():
            raise ValueError(f"--out {self.out} is a file: expected a folder, new or of this training")
