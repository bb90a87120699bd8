"""What several tests of training need."""

import pytest

from harsanyi.models import Network, load


@pytest.fixture
def network() -> Network:
    """A small network of two classes, not trained."""
    return load("small:cnn", "random", classes=["dark", "light"])
