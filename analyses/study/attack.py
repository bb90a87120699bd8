"""Attacked inputs: moved a little, so that a network's score of the label falls most."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from harsanyi.analyses.study.layout import Layout, displayed
from harsanyi.failing import answers_of
from harsanyi.interactions import SCORES, Store
from harsanyi.models import Network
from harsanyi.models.training.projected_gradient import bounds_of, perturbed

# The array that holds the attacked inputs beside the value tables.
ATTACKED = "attacked"
STEPS = 20
# Inputs a forward.
BATCH = 64


def attacked(
    radius: float,
    score: str,
    networks: Mapping[str, Network],
    labels: Mapping[str, list[int]],
    layout: Layout,
) -> Layout:
    """The layout of a study with attacked inputs, the same for all networks.

    Projected gradient descent (Madry et al., 2018) on the score of the label of the fine-tuned network, or of
    the first network where none is fine-tuned: x ← clip(x − (radius / 8) sign ∇ score(x)), 20 times from the
    input itself. Each number of x stays within `radius` of the input, and where the normalisation is known
    within black and white. Inputs on which the network fails stay as they are.

    Args:
        radius: above 0, in units of the networks' inputs.
        score: that is lowered.
        networks: of the study.
        labels: the number of an output for each game, by network.
        layout: of the inputs as they are.

    Returns:
        the layout with other inputs; what is drawn shows them.

    Raises:
        ValueError: the networks are not given the same numbers.
    """
    name = "after" if "after" in networks else next(iter(networks))
    network, clean = networks[name], layout.tensors[name]
    require_same_inputs(layout)
    targets = torch.tensor(labels[name])
    moved = clean.clone()

    def move(rows: list[int]) -> None:
        moved[rows] = perturbed(
            network,
            clean[rows],
            targets[rows],
            lambda outputs, answers: -SCORES[score](outputs, answers),
            radius=radius,
            steps=STEPS,
            bounds=bounds_of(network, clean),
        )

    for start in range(0, len(clean), BATCH):
        answers_of(range(start, min(start + BATCH, len(clean))), move)
    return with_inputs(layout, networks, moved)


def require_same_inputs(layout: Layout) -> None:
    """A ValueError where networks are given other numbers of the same pictures: none is attacked then.

    Args:
        layout: of the study.
    """
    (name, first), *others = layout.tensors.items()
    if differing := [other for other, given in others if not torch.equal(given, first)]:
        raise ValueError(
            f"an attack moves what the networks are given, and {name} and {differing[0]} are given different "
            "numbers of the same pictures: state one normalisation for all, with --image-size, --mean and "
            "--std"
        )


def with_inputs(layout: Layout, networks: Mapping[str, Network], inputs: Tensor) -> Layout:
    """A layout whose networks are all given these inputs; its pictures show them.

    Args:
        layout: of pictures.
        networks: of the study.
        inputs: (games, channels, height, width).

    Returns:
        the layout; it keeps the inputs as an array.
    """
    first = next(iter(networks.values()))
    arrays = {"images": displayed(first.preprocess, inputs), ATTACKED: inputs.numpy()}
    return replace(layout, tensors=dict.fromkeys(layout.tensors, inputs), arrays=layout.arrays | arrays)


def as_attacked_before(layout: Layout, networks: Mapping[str, Network], store: Store) -> Layout | None:
    """The layout with the attacked inputs that a store holds: on another machine gradients differ a little.

    Args:
        layout: of a study, with its inputs as they are.
        networks: of the study.
        store: of its value tables, which are refused elsewhere where they are of another study.

    Returns:
        the layout; None where the store has no attacked inputs, or not of these.
    """
    if ATTACKED not in store.arrays:
        return None
    kept = torch.from_numpy(store.array(ATTACKED))
    same = all(kept.shape == clean.shape for clean in layout.tensors.values())
    return with_inputs(layout, networks, kept) if same else None
