"""Groups of options: what belongs together in a help page, the most used first."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Group:
    """Options that stand together, in all commands that have them.

    Attributes:
        name: of the group.
        common: options that every help page shows, in this order.
        rare: those that only the whole page shows, after them.
    """

    name: str
    common: tuple[str, ...]
    rare: tuple[str, ...] = ()


GROUPS = (
    Group(
        "network",
        (
            *("model", "checkpoint", "before", "after", "scratch", "pretrained", "series"),
            *("start", "classes", "read_out", "widths"),
            *("layers", "residual", "scales"),
        ),
        ("neurons", "features", "pixels", "portions", "at_most", "key", "ema", "read_out_inputs"),
    ),
    Group(
        "input",
        (
            *("data", "test_data", "pretrain_data", "target", "train_data", "level", "inputs"),
            *("noise_levels", "corruptions", "attacks", "replacements", "shuffle"),
        ),
        (
            *("task", "label", "corruption", "attack", "draws", "others"),
            *("image_column", "text_column", "label_columns", "bits"),
            *("skip_unreadable", "skip_short", "image_size", "mean", "std", "crop", "interpolation"),
            *("preprocessing", "patches", "dimension"),
        ),
    ),
    Group(
        "label",
        ("kinds", "counts", "superclasses", "subclasses"),
        ("columns", "hops", "depths", "wordnet", "embedding", "misalignment"),
    ),
    Group(
        "training",
        ("kind", "sizes", "seeds", "optimisers", "pretrain_epochs", "finetune_epochs", "epochs", "transfer"),
        (
            *("temperature", "masked", "patch", "radius", "attack_steps", "random_classes"),
            *("pretrain_sizes", "validation", "patience", "baseline_epochs", "optimiser"),
            *("hard_share",),
            *("pretrain_rate", "finetune_rate"),
            *("betas", "hardest", "steps", "rate", "weight_decay", "flip", "crop_padding"),
        ),
    ),
    Group("player", ("players", "baseline", "layouts", "merges"), ("choose", "layer", "stop_words")),
    Group(
        "method",
        ("score", "method"),
        ("noise", "specific", "ranges", "threshold", "restricted", "rare", "claims", "published"),
    ),
    Group(
        "running",
        ("device", "only_plan"),
        (
            *("plan", "batch_size", "precision", "memory", "seed", "retry_failed"),
            *("on", "share", "cpus_per_task", "gpus_per_task", "memory_per_task"),
        ),
    ),
    Group("output", ("out", "keep_outputs", "quiet", "debug", "help_all")),
)
