"""Checkpoints of accelerate, and of FSDP in one process."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from tests.trainers.pictures import TRAINED, right_answers, train

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def prepared(pictures, samples):
    """A network trained by accelerate, as it is prepared there."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState, PartialState

    accelerator = Accelerator(cpu=True)
    model = pictures.network()
    generator = torch.Generator().manual_seed(0)
    loader = DataLoader(TensorDataset(*samples("train")), batch_size=20, shuffle=True, generator=generator)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    for _ in range(9):
        for inputs, labels in loader:
            optimizer.zero_grad()
            accelerator.backward(torch.nn.functional.cross_entropy(model(inputs), labels))
            optimizer.step()
    yield accelerator, model
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


SAVES = {
    "save_state": lambda accelerator, model, folder: accelerator.save_state(str(folder)),
    "save_state, unsafe": lambda accelerator, model, folder: accelerator.save_state(
        str(folder), safe_serialization=False
    ),
    "save_model": lambda accelerator, model, folder: accelerator.save_model(model, str(folder)),
    "save_model, in shards": lambda accelerator, model, folder: accelerator.save_model(
        model, str(folder), max_shard_size="1KB"
    ),
}


@pytest.mark.parametrize("save", SAVES)
def test_folders_of_accelerate(pictures, samples, harsanyi, prepared, tmp_path, save):
    accelerator, model = prepared
    right = right_answers(model, samples("test"))
    SAVES[save](accelerator, model, tmp_path / "saved")
    options = ("--model", pictures.model, "--checkpoint", tmp_path / "saved", "--data", pictures.test)
    assert harsanyi.taught("compute", *options) == {"network": right}


@pytest.fixture
def mesh(tmp_path):
    """A device mesh of this process alone."""
    meeting = f"file://{tmp_path / 'meeting'}"
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=0, world_size=1)
    yield torch.distributed.device_mesh.init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


def test_fsdp_with_a_full_state_dict(pictures, samples, harsanyi, mesh, tmp_path):
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
    from torch.distributed.fsdp import fully_shard

    model = pictures.network()
    for part in (model.features, model):
        fully_shard(part, mesh=mesh)
    train(model, samples("train"))
    right = right_answers(model, samples("test"))
    full = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    torch.save({"model": full}, tmp_path / "fsdp.pt")
    options = ("--model", pictures.model, "--data", pictures.test)
    assert harsanyi.taught("compute", *options, "--checkpoint", tmp_path / "fsdp.pt") == {"network": right}


def test_names_that_the_first_fsdp_leaves(pictures, samples, harsanyi, tmp_path):
    """By hand, as it does not run on a CPU: the wrapper's name stands before every wrapped part's own."""
    model = pictures.network()
    train(model, samples("train"))
    right = right_answers(model, samples("test"))
    state = {f"_fsdp_wrapped_module.{name}": tensor for name, tensor in model.state_dict().items()}
    inner = "features._fsdp_wrapped_module._checkpoint_wrapped_module."
    state = {name.replace("features.", inner): tensor for name, tensor in state.items()}
    torch.save(state, tmp_path / "fsdp.pt")
    options = ("--model", pictures.model, "--data", pictures.test)
    assert harsanyi.taught("compute", *options, "--checkpoint", tmp_path / "fsdp.pt") == {"network": right}


def test_a_distributed_checkpoint_is_refused(pictures, samples, harsanyi, tmp_path):
    """Its folder holds shards of every process; torch itself makes one file of them, which is read."""
    from torch.distributed import checkpoint
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    model = pictures.network()
    train(model, samples("train"))
    right = right_answers(model, samples("test"))
    checkpoint.save({"model": model.state_dict()}, checkpoint_id=tmp_path / "sharded")
    shared = ("--model", pictures.model, "--data", pictures.test, "--classes", *TRAINED)
    sentence = harsanyi.refusal("compute", "--checkpoint", tmp_path / "sharded", *shared)
    assert f"format_utils dcp_to_torch {tmp_path / 'sharded'} weights.pt" in sentence
    dcp_to_torch_save(tmp_path / "sharded", tmp_path / "whole.pt")
    assert harsanyi.right("compute", "--checkpoint", tmp_path / "whole.pt", *shared) == {"network": right}
