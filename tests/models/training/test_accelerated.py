"""Training on accelerate: as a plain loop, in several processes, in less precision, and after a kill."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from torch import nn

from harsanyi.models import Recipe, load, read_checkpoint
from harsanyi.models.training.accelerated import accelerated
from harsanyi.models.training.unfinished import UNFINISHED, Unfinished, read_unfinished, save_unfinished
from tests.models.training.series import same, states, train_series
from tests.places import ROOT

CPU = torch.device("cpu")
FILES = ["epoch-000.safetensors", "epoch-001.safetensors", "epoch-002.safetensors", "epoch-003.safetensors"]


def run(network, samples, folder: Path, **options) -> list[Path]:
    return train_series(network, samples, folder, **{"epochs": 3, "batch_size": 16, **options})


def plain_loop(network, samples, epochs: int, batch_size: int, seed: int) -> tuple[list[dict], list[float]]:
    """AdamW on cross-entropy, written out; the weights and mean loss after each epoch."""
    model, inputs = network.model, network.preprocess(samples[0])
    target, generator = torch.tensor(samples[1]), torch.Generator().manual_seed(seed)
    recipe = Recipe(epochs, batch_size=batch_size, seed=seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1.0, weight_decay=0.01)
    steps, step, weights, losses = epochs * -(-len(target) // batch_size), 0, [], []
    for _ in range(epochs):
        model.train()
        lost = 0.0
        for chosen in torch.randperm(len(target), generator=generator).split(batch_size):
            optimiser.param_groups[0]["lr"] = 1e-3 * recipe.rate(step, steps)
            optimiser.zero_grad()
            loss = F.cross_entropy(model(inputs[chosen]), target[chosen])
            loss.backward()
            optimiser.step()
            lost, step = lost + loss.item() * len(chosen), step + 1
        weights.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        losses.append(lost / len(target))
    return weights, losses


def test_one_process_in_float32_is_a_plain_loop_bit_for_bit(network, dark_and_light, tmp_path: Path):
    paths = run(network, dark_and_light, tmp_path, seed=3)
    weights, losses = plain_loop(network, dark_and_light, 3, 16, 3)
    assert all(same(*pair) for pair in zip(states(paths)[1:], weights, strict=True))
    assert pd.read_csv(tmp_path / "history.csv").loss[1:].tolist() == losses
    assert sorted(path.name for path in tmp_path.iterdir()) == [*FILES, "history.csv"]


def test_bf16_trains_float32_weights_in_less_precision(network, dark_and_light, tmp_path: Path):
    full, half, again = (
        run(network, dark_and_light, tmp_path / name, **options)
        for name, options in (("a", {}), ("b", {"precision": "bf16"}), ("c", {"precision": "float32"}))
    )
    assert same(states(full)[-1], states(again)[-1])  # bf16 leaves nothing behind
    assert same(states(full)[0], states(half)[0])
    for name, tensor in states(half)[-1].items():
        assert tensor.dtype == torch.float32
        assert not torch.equal(tensor, states(full)[-1][name]), name
        # AdamW moves a weight by about its learning rate in each of nine steps, whatever the gradient.
        torch.testing.assert_close(tensor, states(full)[-1][name], rtol=0, atol=2 * 9 * 1e-3)
    losses = pd.read_csv(tmp_path / "b" / "history.csv").loss
    assert losses[3] < losses[1]
    assert losses[1] == pytest.approx(pd.read_csv(tmp_path / "a" / "history.csv").loss[1], rel=0.05)
    settings = [read_checkpoint(paths[-1]).facts["settings"] for paths in (full, half)]
    assert "precision" not in settings[0]
    assert settings[1] == {**settings[0], "precision": "bf16"}
    with pytest.raises(ValueError, match=r"precision \('bf16' there, None now\)"):
        run(network, dark_and_light, tmp_path / "b")


def test_history_is_of_the_checkpoints_in_float32(network, dark_and_light, tmp_path: Path):
    *_, last = run(network, dark_and_light, tmp_path, precision="bf16")
    loaded = load("small:cnn", last)
    logits = loaded.logits(loaded.preprocess(dark_and_light[0])).double()
    expected = F.cross_entropy(logits, torch.tensor(dark_and_light[1])).item()
    # Batches of 16 and of 40 sum in another order in float32; bf16 would be off by 1e-3.
    assert pd.read_csv(tmp_path / "history.csv").held_out_loss[3] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("precision", "message"),
    [("fp16", "fp16 needs a GPU"), ("half", "no precision 'half': expected float32")],
)
def test_precision_that_cannot_be(network, dark_and_light, tmp_path: Path, precision, message):
    with pytest.raises(ValueError, match=message):
        run(network, dark_and_light, tmp_path, precision=precision)
    assert not list(tmp_path.iterdir())


def test_a_launch_for_another_device(network, dark_and_light, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_TORCH_DEVICE", "meta")
    with pytest.raises(ValueError, match="the network is on cpu, but the launch is for meta"):
        run(network, dark_and_light, tmp_path)


def test_accelerate_is_left_as_it_was():
    states = [kind._shared_state for kind in (PartialState, AcceleratorState, GradientState)]
    before = [dict(state) for state in states]
    own = Accelerator(cpu=True)
    with accelerated(CPU, "bf16") as inner:
        assert inner.mixed_precision == "bf16"
    assert (own.mixed_precision, own.device) == ("no", CPU)
    for state, content in zip(states, before, strict=True):
        state.clear()
        state.update(content)


class KilledError(Exception):
    pass


def counted(network, steps: list[int], most: int | None = None):
    """Counts forwards in train mode in `steps`, and ends the run at one of them."""

    def count(module: nn.Module, _: tuple) -> None:
        if module.training:
            steps.append(len(steps))
            if len(steps) == most:
                raise KilledError

    return network.model.register_forward_pre_hook(count)


def killed(network, samples, folder: Path, most: int, **options) -> None:
    hook = counted(network, [], most)
    with pytest.raises(KilledError):
        run(network, samples, folder, **options)
    hook.remove()


@pytest.mark.parametrize("options", [{}, {"optimiser": "sgd", "precision": "bf16"}])
def test_a_killed_series_goes_on_to_the_same_bytes(network, dark_and_light, tmp_path: Path, options):
    options = {"flip": True, "crop_padding": 2, **options}
    whole = run(network, dark_and_light, tmp_path / "whole", **options)
    killed(network, dark_and_light, tmp_path / "killed", 8, **options)  # epochs have 3 steps
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == [*FILES[:3], UNFINISHED]
    times = [(tmp_path / "killed" / name).stat().st_mtime_ns for name in FILES[:3]]
    hook = counted(network, steps := [])
    again = run(network, dark_and_light, tmp_path / "killed", **options)
    hook.remove()
    assert len(steps) == 3
    assert [path.stat().st_mtime_ns for path in again[:3]] == times
    for ours, theirs in zip(again, whole, strict=True):
        # safetensors writes its facts in any order, so that the files' headers may differ.
        assert same(*states([ours, theirs]))
        assert read_checkpoint(ours).facts == read_checkpoint(theirs).facts
        assert ours.stat().st_size == theirs.stat().st_size
    histories = [(tmp_path / name / "history.csv").read_bytes() for name in ("whole", "killed")]
    assert histories[0] == histories[1]
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == [*FILES, "history.csv"]


def test_dropout_goes_on_where_it_was(tiny_bert, tmp_path: Path):
    network = load(str(tiny_bert[0])).with_new_head(["bad", "good"])
    samples = ["good cat", "bad cat", "good dog", "bad dog"], [1, 0, 1, 0]
    whole = run(network, samples, tmp_path / "whole", batch_size=2)
    killed(network, samples, tmp_path / "killed", 4, batch_size=2)
    again = run(network, samples, tmp_path / "killed", batch_size=2)
    assert same(states(whole)[-1], states(again)[-1])


def test_what_an_unfinished_series_goes_on_from_must_fit(network, dark_and_light, tmp_path: Path):
    whole = run(network, dark_and_light, tmp_path / "whole")
    folder = tmp_path / "killed"
    killed(network, dark_and_light, folder, 8)
    (folder / FILES[1]).unlink()  # then the series begins again
    hook = counted(network, steps := [])
    assert same(states(run(network, dark_and_light, folder))[-1], states(whole)[-1])
    assert len(steps) == 9
    hook.remove()
    killed(network, dark_and_light, tmp_path / "other", 8, seed=5)
    for path in (tmp_path / "other").glob("*.safetensors"):
        path.unlink()
    assert same(states(run(network, dark_and_light, tmp_path / "other"))[-1], states(whole)[-1])


def test_a_damaged_file_is_not_run(network, dark_and_light, tmp_path: Path):
    killed(network, dark_and_light, tmp_path, 8)
    (tmp_path / UNFINISHED).write_bytes(b"no file of torch.save")
    with pytest.raises(ValueError, match=r"unfinished.pt cannot be read .* delete it"):
        run(network, dark_and_light, tmp_path)
    save_unfinished(tmp_path / UNFINISHED, Unfinished({"code": os.system}, [], {}))
    with pytest.raises(ValueError, match="UnpicklingError"):
        read_unfinished(tmp_path / UNFINISHED, [], {}, 1)


def test_another_number_of_processes_starts_again(tmp_path: Path):
    path = tmp_path / UNFINISHED
    save_unfinished(path, Unfinished({"seed": 0}, [], {"randomness": [torch.zeros(2, 8)]}))
    assert read_unfinished(path, [], {"seed": 0}, 2) is not None
    assert read_unfinished(path, [], {"seed": 0}, 1) is None
    assert read_unfinished(path, [], {"seed": 1}, 2) is None


PROCESS = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
from harsanyi.models import Recipe, Samples, load, train

folder = Path(sys.argv[1])
images = [Image.fromarray(image) for image in np.load(folder / "images.npy")]
samples = Samples(images, np.load(folder / "labels.npy"))

def run(network, batch_size, out):
    recipe = Recipe(epochs=2, batch_size=batch_size, optimiser="sgd", learning_rate=0.03,
                    flip=True, crop_padding=2)
    train(network, samples, recipe, folder=folder / out, held_out=samples, progress=False)

for name, batch_size, out in (("cnn", 16, "two"), ("cnn", 19, "small"), ("resnet8", 16, "norms")):
    network = load(f"small:{name}", "random", classes=["dark", "light"])
    try:
        run(network, batch_size, out)
    except ValueError as error:
        print(error)

network, steps = load("small:cnn", "random", classes=["dark", "light"]), []

def stop(module, _):
    if module.training:
        steps.append(1)
        if len(steps) == 5:
            raise KeyboardInterrupt

network.model.register_forward_pre_hook(stop)
for _ in range(2):
    try:
        run(network, 16, "killed")
    except KeyboardInterrupt:
        pass
print("steps:", len(steps))
"""


def in_two_processes(samples, folder: Path) -> list[tuple[int, str, str]]:
    """What each process ended with and said; started as torchrun starts them."""
    np.save(folder / "images.npy", np.stack([np.asarray(image) for image in samples[0]]))
    np.save(folder / "labels.npy", np.array(samples[1]))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    common = {**os.environ, **address, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(folder)],
            env={**common, "RANK": rank, "LOCAL_RANK": rank},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    said = [process.communicate(timeout=300) for process in started]
    return [(process.returncode, *words) for process, words in zip(started, said, strict=True)]


@pytest.mark.slow
def test_two_processes_share_each_batch_and_end_where_one_does(network, dark_and_light, tmp_path: Path):
    images, labels = (part[:39] for part in dark_and_light)  # batches of 16, 16 and 7: the last is uneven
    for code, said, warned in in_two_processes((images, labels), tmp_path):
        assert code == 0, warned
        assert "a batch has 1 samples for 2 processes" in said
        assert "small:resnet8 has batch norms, which processes on CPUs cannot share" in said
        assert "steps: 8" in said  # five, ended in the second epoch of three, which is then done again
    again = [states([tmp_path / name / file for file in FILES[:3]]) for name in ("two", "killed")]
    assert all(same(*pair) for pair in zip(*again, strict=True))
    options = {"flip": True, "crop_padding": 2, "optimiser": "sgd", "learning_rate": 0.03, "epochs": 2}
    one = run(network, (images, labels), tmp_path / "one", **options)
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == [*FILES[:3], "history.csv"]
    moved = 0.0
    for path in one:
        start, ours, theirs = states([one[0], path, tmp_path / "two" / path.name])
        for name, tensor in ours.items():
            # Gradients of shares are summed in another order in float32, over six steps.
            torch.testing.assert_close(theirs[name], tensor, rtol=0, atol=1e-5)
            moved = max(moved, float((tensor - start[name]).abs().max()))
    assert moved > 1e-2
    history, expected = (pd.read_csv(tmp_path / name / "history.csv") for name in ("two", "one"))
    pd.testing.assert_frame_equal(history, expected, rtol=1e-5)
    ours, theirs = (read_checkpoint(tmp_path / name / FILES[2]).facts["settings"] for name in ("one", "two"))
    assert ours == theirs
