"""What every test needs."""

from collections.abc import Iterator

import jaxtyping
import pytest

from harsanyi.models.loading.torchvision_operators import declare_operators

# transformers imports torchvision, which needs two operators that the CPU build of torch does not have.
declare_operators()


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Without the shape checks that run under pytest only: for arguments that a user may get wrong."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
