"""FineCoarse: a study of fine against coarse training on a user's own data."""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from harsanyi.analyses.statistics.verdict import require_form
from harsanyi.analyses.study.settings import Settings, option

# The smallest allowed value of each whole number.
MIN_VALUES = {"pixels": 1, "widths": 1, "sizes": 3, "seeds": 0, "steps": 1, "batch_size": 1}
LISTS = ("columns", "widths", "sizes", "seeds", "betas")


@dataclass(frozen=True, kw_only=True)
class FineCoarse(Settings):
    """Train small networks on fine and on coarse labels, and say which answer coarse questions better.

    Networks have one hidden layer. A fine one answers by the summed probabilities of the classes of each
    coarse class. The coarse ones are trained twice, with an output for each coarse class, and with as many
    parameters as the fine one. Follows "Should We Always Train Models on Fine-Grained Classes?" (arXiv
    2509.05130).
    """

    data: Path
    """Training samples with label columns. In any form that `harsanyi compare` reads."""
    test_data: Path
    """Samples on which coarse answers are tested."""
    target: str
    """Label column of the coarse classes that are asked for."""
    out: Path
    """Folder for the results. It holds tables, figures and the report; an unfinished study there goes on."""
    columns: tuple[str, ...] | None = None
    """Finer label columns to train on, each of whose classes lies in one of the target's; by default all
    that have more classes than the target."""
    subclasses: int = 0
    """Also train on fine classes that nobody named: so many k-means clusters in each class of the target."""
    features: str | None = None
    """Network whose features are the inputs, with its published weights. By default the pixels; sentences
    need one."""
    pixels: int = 14
    """Pixels a side to which images are resized, as inputs."""
    widths: tuple[int, ...] = (4, 16, 64)
    """Numbers of hidden units."""
    sizes: tuple[int, ...] = ()
    """Numbers of training samples, of which a fifth validates; by default all."""
    seeds: tuple[int, ...] = tuple(range(10))
    """Seeds; intervals are over them. Of samples, their split, first weights and order."""
    betas: tuple[float, ...] = (0.25, 0.5, 0.75, 1.5)
    """Also train on L_coarse + β L_intra with these β. With the middle of --widths and the last of --sizes; 0
    (coarse) and 1 (fine) are always there."""
    hardest: float = 0.0
    """Also ask which training answers hard samples: this share of the test samples. They are those that a
    coarse network answers wrong with the lowest margins, judged by networks of other seeds; beside them stand
    those that a fine network answers wrong. With the middle of --widths and the last of --sizes. 0 for
    none."""
    steps: int = 6000
    """Largest number of steps of a training; it stops earlier by its validation samples."""
    rate: float = 0.01
    """Learning rate; a tenth of it from where the validation loss no longer falls."""
    batch_size: int = 16
    """Samples a step."""
    claims: tuple[str, ...] = ()
    """Claims, told by rule. Stated before the study runs, as "delta:LEVEL:WIDTH:SIZE > 0". Also
    delta_equal_parameters, and the accuracies fine, coarse and coarse_equal_parameters; by themselves
    over_zero:beta-0.5:LEVEL and over_one:beta-0.5:LEVEL (gains of the sweep), redundancy:LEVEL and
    spearman:intra_loss:LEVEL. With --hardest hard_delta:LEVEL:CHOSEN, CHOSEN of coarse, fine,
    either, same_seed and all."""
    image_column: str | None = None
    """Column of the images, in tables."""
    text_column: str | None = None
    """Column of the sentences, in tables."""
    label_columns: tuple[str, ...] | None = None
    """Columns of the labels, in tables; or names of the levels of image folders, the outermost first: kingdom
    family species."""
    device: str = "auto"
    """cpu, cuda, cuda:1, xpu, … or auto. auto takes the accelerator of this machine, where
    there is one. Of --features; the small networks are trained on the CPU."""

    def require_sense(self) -> None:
        """Refuse settings without sense before any training; a ValueError names the option."""
        for name in ("widths", "seeds"):
            if not getattr(self, name):
                raise ValueError(f"{option(name)} is empty: expected one or more")
        self.require_once(LISTS)
        self.require_least(MIN_VALUES)
        if self.subclasses < 0 or self.subclasses == 1:
            raise ValueError(f"--subclasses is {self.subclasses}: expected 2 or more, or 0 for none")
        if wrong := [beta for beta in self.betas if not (isfinite(beta) and beta >= 0)]:
            raise ValueError(f"--betas has {wrong[0]}: expected numbers of 0 or more")
        if not 0 < self.rate < float("inf"):
            raise ValueError(f"--rate is {self.rate}: expected a number above 0")
        if not 0 <= self.hardest <= 1:
            raise ValueError(f"--hardest is {self.hardest}: expected a share from 0 to 1")
        if self.hardest and len(self.seeds) < 2:
            raise ValueError(
                f"--hardest is {self.hardest:g} with one seed: expected two or more, as samples that "
                "one seed chooses are judged by others"
            )
        if self.columns is not None and self.target in self.columns:
            raise ValueError(f"--columns has the target {self.target}: expected finer columns")
        if self.features is not None:
            self.refuse_idle(("pixels",), "for pixels as inputs, and --features is given")
        require_form(self.claims)
        if self.out.exists() and not self.out.is_dir():
            raise ValueError(f"--out {self.out} is a file: expected a folder, new or of this study")
