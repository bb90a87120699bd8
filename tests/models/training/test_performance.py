"""How well a network answers."""

import numpy as np
import pytest
import torch
from PIL import Image

from harsanyi.models import load, performance
from harsanyi.models.training.performance import class_logits


@pytest.fixture
def pictures() -> list[Image.Image]:
    return [Image.new("L", (28, 28), grey) for grey in range(0, 250, 25)]


def test_accuracy_loss_and_answers_are_the_literal_ones(pictures):
    network = load("small:cnn", "random", classes=["a", "b", "c"], seed=1)
    labels = np.arange(10) % 3
    measured = performance(network, pictures, labels, batch_size=4)
    logits = torch.cat([network.logits(network.preprocess([picture])) for picture in pictures]).double()
    assert measured.answers.tolist() == logits.argmax(1).tolist()
    assert measured.accuracy == np.mean(measured.answers == labels)
    losses = [float(row.logsumexp(0) - row[label]) for row, label in zip(logits, labels, strict=True)]
    assert measured.loss == pytest.approx(np.mean(losses), rel=1e-5)  # float32 batches of other sizes


def test_a_single_output_is_the_log_odds_of_the_second_class(pictures):
    network = load("small:cnn", "random", classes=["light"], seed=1)
    measured = performance(network, pictures, [0, 1] * 5)
    z = torch.cat([network.logits(network.preprocess([picture])) for picture in pictures])[:, 0].double()
    assert measured.answers.tolist() == (z > 0).long().tolist()
    p = z.sigmoid()
    likelihoods = torch.where(torch.arange(10) % 2 == 1, p, 1 - p)
    assert measured.loss == pytest.approx(float(-likelihoods.log().mean()), rel=1e-5)  # float32 batches


def test_logits_of_two_outputs_stay():
    assert class_logits(torch.ones(3, 2)).shape == (3, 2)
