"""What the tests of kinds of pretraining need."""

from tests.models.training.conftest import network

__all__ = ["network"]
