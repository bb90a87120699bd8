"""Samples batch by batch."""

import pytest
import torch

from harsanyi.models import load
from harsanyi.models.training import samples
from harsanyi.models.training.samples import logits_in_batches


@pytest.mark.parametrize(
    ("bytes_of_batch", "sizes"), [(2**20, [4, 4, 2]), (3 * 28 * 28 * 4, [3, 3, 3, 1]), (9, [1] * 10)]
)
def test_a_batch_on_a_cpu_has_no_more_bytes_than_stay_near_it(monkeypatch, bytes_of_batch, sizes):
    monkeypatch.setattr(samples, "BATCH_BYTES", bytes_of_batch)
    network = load("small:cnn", "random", classes=["a", "b"], seed=1)
    images = torch.rand(10, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    numbers, logits, failed = zip(*logits_in_batches(network, images.__getitem__, 10, 4), strict=True)
    assert [len(each) for each in logits] == sizes
    assert failed == ({},) * len(sizes)
    assert torch.cat(numbers).tolist() == list(range(10))
    # Float32 batches of other sizes.
    torch.testing.assert_close(torch.cat(logits).float(), network.logits(images), rtol=1e-5, atol=1e-6)
