"""How often the engine waits for an accelerator and copies to it: numbers that may only fall.

Both are counted on the second device, once a plan has made its indices. What depends on batches, on levels of
a trie or on lengths of sentences would show as another number for more of them.
"""

import pytest
import torch

from harsanyi.interactions import evaluate
from harsanyi.interactions.plans.choice import choose
from tests.device import games, second

pytestmark = pytest.mark.skipif(
    torch.accelerator.is_available() or not second.is_possible(),
    reason="needs a torch that takes a device in Python, and no other accelerator",
)
# Several batches a game.
BATCH = 16
# Of a whole evaluation, whatever its plan: the buffers are as before, and the scores are finite. The numbers
# of the games are copied there.
WAITS, COPIES = 2, 1
# Of each game: the host must know its words and coalitions to lay out the trie, or how many tokens stay.
GAME = {"dense": (0, 0), "tables": (0, 0), "drop": (1, 0), "prefix": (2, 1)}


@pytest.fixture
def device():
    with second.present() as device:
        yield device


def counted_run(game, **options):
    """What is counted in a second run; the first has made what later ones use."""
    evaluate(game, progress=False, **options)
    with second.counted() as counted:
        evaluate(game, progress=False, **options)
    return counted


def require(counted, waits, copies):
    assert counted.waits <= waits, counted.places
    assert counted.copies <= copies, counted.places


@pytest.mark.parametrize("make", [games.images_game, games.layer_game, games.words_unattended])
def test_the_network_as_it_is(device, make):
    require(counted_run(make(device), batch_size=BATCH), WAITS, COPIES)


@pytest.mark.parametrize(
    ("make", "plan"),
    [
        (games.images_game, "dense"),
        (games.images_game, "tables"),
        (games.layer_game, "tables"),
        (games.words_replaced, "tables"),
        (games.words_unattended, "drop"),
        (games.next_token, "prefix"),
    ],
)
def test_plans(device, planned, make, plan):
    game = make(device)
    choose(game, plan)
    waits, copies = GAME[plan]
    counted = counted_run(game, plan=plan, batch_size=BATCH)
    require(counted, WAITS + game.games * waits, COPIES + game.games * copies)
