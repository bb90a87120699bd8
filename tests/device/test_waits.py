"""How often the engine waits for an accelerator, copies to it and launches on it: numbers that may only fall.

All are counted on the second device, once a plan has made its indices. What depends on batches, on levels of
a trie, on lengths of sentences or on the number of games would show as another number for more of them.
"""

import pytest
import torch
from torch import nn

from harsanyi.interactions import And, evaluate, extract, sparse_and_or_joint
from harsanyi.interactions.plans.choice import choose
from harsanyi.interactions.sparse.fit import sparse_and_or
from harsanyi.interactions.sparse.halpern import CERTIFY_PERIOD
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
# Besides, of outputs that are read as probabilities: whether they are, and whether none is 0 or 1.
CONDITIONS = {nn.Softmax(-1): 2, nn.Sigmoid(): 2}
# Of a split, beside one a certificate: whether tables are finite, which have noise, and whether any has.
SPLIT_WAITS = 4
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


@pytest.mark.parametrize("last", CONDITIONS, ids=str)
@pytest.mark.parametrize("plan", [None, "dense", "tables"])
def test_probabilities(device, request, last, plan):
    if plan is not None:
        request.getfixturevalue("planned")
    network = nn.Sequential(games.convolutional(), last)
    game = games.images_game(device, network, probabilities=True)
    options = {} if plan is None else {"plan": plan}
    require(counted_run(game, batch_size=BATCH, **options), WAITS + CONDITIONS[last], COPIES)


def tables(count, n):
    return torch.randn(count, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def counted_work(work):
    """What is counted when work is done again."""
    work()
    with second.counted() as counted:
        work()
    return counted


def test_transforms_launch_as_often_for_any_number_of_games(device):
    few, many = (tables(count, 10).to(device) for count in (2, 2000))
    launches = [counted_work(lambda v=v: extract(v, And())).launches for v in (few, many)]
    assert launches[0] == launches[1] <= 40


@pytest.mark.parametrize(("n", "count"), [(6, 100), pytest.param(10, 2000, marks=pytest.mark.slow)])
def test_splits_launch_and_wait_as_often_for_any_number_of_games(device, n, count):
    few, many = tables(2, n).to(device), tables(count, n).to(device)
    options = {"tolerance": 0.0, "max_steps": CERTIFY_PERIOD}
    counted = [counted_work(lambda v=v: sparse_and_or(v, **options)) for v in (few, many)]
    assert counted[0].launches == counted[1].launches
    assert counted[0].waits == counted[1].waits <= SPLIT_WAITS + 1


def test_a_joint_split_waits_once_a_certificate(device):
    v = tables(9, 4).view(3, 3, -1).to(device)
    for periods in (1, 2):
        options = {"tolerance": 0.0, "max_steps": periods * CERTIFY_PERIOD}
        counted = counted_work(lambda options=options: sparse_and_or_joint(v, **options))
        assert counted.waits <= SPLIT_WAITS + periods, counted.places
