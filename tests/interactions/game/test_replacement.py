"""Replaced players: closed forms of a normal distribution and of additive networks, and literal searches."""

import numpy as np
import pytest
import torch
from torch import nn

from harsanyi.interactions import (
    And,
    MaskedModel,
    Players,
    ReplacedModel,
    coalition_masks,
    evaluate,
    extract,
)
from harsanyi.interactions.game.replacement import (
    REPLACEMENTS,
    NearestReplacement,
    NormalReplacement,
    independent,
    marginal,
    principal_components,
    replacement_named,
    shuffled,
)

GAMES, SIDE = 3, 4
PLAYERS = Players.grid(SIDE, SIDE, 2, 2)


@pytest.fixture(scope="module")
def pool() -> torch.Tensor:
    """Correlated pictures: a few common factors and noise."""
    generator = torch.Generator().manual_seed(0)
    factors = torch.randn(300, 3, generator=generator, dtype=torch.float64)
    loadings = torch.randn(3, 2 * SIDE * SIDE, generator=generator, dtype=torch.float64)
    noise = torch.randn(300, 2 * SIDE * SIDE, generator=generator, dtype=torch.float64)
    return (1 + factors @ loadings + 0.3 * noise).view(300, 2, SIDE, SIDE)


@pytest.fixture(scope="module")
def inputs(pool) -> torch.Tensor:
    return pool[:GAMES] + 0.1


def game_of(network, inputs, players=PLAYERS) -> MaskedModel:
    return MaskedModel(network, inputs, players, labels=[0, 1, 0], score="logit")


def linear() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(2 * SIDE * SIDE, 2)).double()


def every_pair(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    games = torch.arange(GAMES).repeat_interleave(2**n)
    return games, coalition_masks(n).repeat(GAMES, 1)


def owners_of(players: Players, game: int) -> np.ndarray:
    """The player of each element of one input."""
    owner = players.owner[game] if players.per_game else players.owner
    return owner.expand(2, SIDE, SIDE).flatten().numpy()


def with_background() -> Players:
    return PLAYERS.only(torch.tensor([0, 1, 3]))


def of_each_game() -> Players:
    return PLAYERS.only(torch.tensor([[0, 1, 3], [1, 2, 3], [0, 2, 3]]))


@pytest.mark.parametrize("players", [PLAYERS, with_background(), of_each_game()], ids=["all", "some", "each"])
def test_the_conditional_expectation_of_a_normal_distribution(pool, inputs, players):
    replacement = NormalReplacement(inputs, pool, players, factors=5)
    mean, w, noise = principal_components(pool.flatten(1), 5)
    covariance = (w @ w.T + noise * torch.eye(len(w), dtype=torch.float64)).numpy()
    games, coalitions = every_pair(players.n)
    (values,) = replacement(games, coalitions)
    for game, coalition, found in zip(games.tolist(), coalitions.tolist(), values, strict=True):
        owner, x = owners_of(players, game), inputs[game].flatten().numpy()
        seen = np.array([own == -1 or coalition[own] for own in owner])
        expected = mean.numpy()[~seen]
        if seen.any():
            inverse = np.linalg.inv(covariance[np.ix_(seen, seen)])
            expected = expected + covariance[np.ix_(~seen, seen)] @ inverse @ (x - mean.numpy())[seen]
        # An inverse of a covariance with a condition number of 10**3, in float64.
        assert np.allclose(found.flatten().numpy()[~seen], expected, rtol=0, atol=1e-9)


def test_principal_components_are_those_of_the_covariance(pool):
    samples = pool.flatten(1)
    mean, w, noise = principal_components(samples, 4)
    values = np.linalg.eigvalsh(np.cov(samples.numpy().T))[::-1]
    assert torch.allclose(mean, samples.mean(0))
    assert noise == pytest.approx(values[4:].mean(), rel=1e-9)
    assert np.linalg.eigvalsh((w.T @ w).numpy())[::-1] == pytest.approx(values[:4] - noise, rel=1e-9)
    assert np.trace((w @ w.T).numpy()) + len(w) * noise == pytest.approx(values.sum(), rel=1e-9)


def test_few_samples_leave_variance_outside_the_factors(pool):
    _, w, noise = principal_components(pool[:6].flatten(1), 128)
    assert w.shape[1] == 3
    assert noise > 1e-6


def test_an_additive_network_has_no_interactions_where_replacement_does_not_look(pool, inputs):
    game = game_of(linear(), inputs)
    for replacement in (
        marginal(pool, GAMES, draws=3),
        independent(pool, PLAYERS, GAMES, draws=3),
    ):
        interactions = extract(ReplacedModel(game, replacement), And(), progress=False)
        assert interactions.and_[:, interactions.orders > 1].abs().max() < 1e-12  # sums of 32 terms
        assert interactions.and_[:, interactions.orders == 1].abs().min() > 1e-3


def test_an_additive_network_has_interactions_by_the_correlation_of_the_data_alone(pool, inputs):
    network = linear()
    game, uncorrelated = game_of(network, inputs), pool.clone()
    by_data = extract(
        ReplacedModel(game, NormalReplacement(inputs, pool, PLAYERS, factors=5)), And(), progress=False
    )
    # v(T) of a linear network is w · (x_T, E[x_rest | x_T]): in closed form, and with interactions.
    mean, w, noise = principal_components(pool.flatten(1), 5)
    covariance = w @ w.T + noise * torch.eye(len(w), dtype=torch.float64)
    weights, bias = network[1].weight.detach(), network[1].bias.detach()
    owner = torch.from_numpy(owners_of(PLAYERS, 0))
    for number, coalition in enumerate(coalition_masks(4)):
        seen = coalition[owner]
        for row, label in enumerate((0, 1, 0)):
            x = inputs[row].flatten().clone()
            gain = torch.linalg.lstsq(covariance[seen][:, seen], (x - mean)[seen, None]).solution[:, 0]
            x[~seen] = mean[~seen] + covariance[~seen][:, seen] @ gain
            expected = weights[label] @ x + bias[label]
            assert by_data.v[row, number].item() == pytest.approx(expected.item(), abs=1e-8)  # as above
    assert by_data.and_[:, by_data.orders == 2].abs().max() > 0.1
    # Columns shuffled each by itself: what is left of correlation is of chance, of 1 / √300.
    generator = torch.Generator().manual_seed(3)
    for column in uncorrelated.flatten(1).T:
        column[:] = column[torch.randperm(len(column), generator=generator)]
    apart = NormalReplacement(inputs, uncorrelated, PLAYERS, factors=5)
    without = extract(ReplacedModel(game, apart), And(), progress=False)
    pairs = without.orders == 2
    assert without.and_[:, pairs].abs().mean() < 0.2 * by_data.and_[:, pairs].abs().mean()


@pytest.mark.parametrize("players", [PLAYERS, with_background(), of_each_game()], ids=["all", "some", "each"])
def test_the_nearest_by_search(pool, inputs, players):
    found_of = NearestReplacement(inputs, pool, players, draws=2)
    games, coalitions = every_pair(players.n)
    values = found_of(games, coalitions)
    assert values.shape == (2, len(games), 2, SIDE, SIDE)
    for pair, (game, coalition) in enumerate(zip(games.tolist(), coalitions.tolist(), strict=True)):
        seen = torch.tensor([own == -1 or coalition[own] for own in owners_of(players, game)])
        distances = [((other - inputs[game]).flatten()[seen] ** 2).sum().item() for other in pool]
        nearest = sorted(range(len(pool)), key=lambda i: distances[i])[:2]
        for draw, other in enumerate(nearest):
            assert torch.equal(values[draw, pair], pool[other])


def test_marginal_and_independent_take_what_others_have(pool, inputs):
    games, coalitions = every_pair(4)
    together = marginal(pool, GAMES, draws=5, seed=2)(games, coalitions)
    for draw in together:  # one other input, the same for all coalitions of a game
        for game in range(GAMES):
            rows = draw[games == game]
            assert (rows == rows[0]).all()
            assert any(torch.equal(rows[0], other) for other in pool)
    apart = independent(pool, PLAYERS, GAMES, draws=5, seed=2)(games, coalitions)
    owner = PLAYERS.owner
    donors = set()
    for player in range(4):
        patches = pool[..., owner == player]
        own = apart[0, 0][..., owner == player]
        (donor,) = [i for i, patch in enumerate(patches) if torch.equal(patch, own)]
        donors.add(donor)
    assert len(donors) > 1


def test_a_replaced_score_is_the_mean_over_draws_of_a_network_by_hand(pool, inputs):
    torch.manual_seed(4)
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.GELU(), nn.Flatten(), nn.Linear(12, 2)).double()
    game, replacement = game_of(network, inputs), NearestReplacement(inputs, pool, PLAYERS, draws=3)
    v = evaluate(ReplacedModel(game, replacement), progress=False)
    for number, coalition in enumerate(coalition_masks(4)):
        keep = coalition[PLAYERS.owner]
        draws = replacement(torch.tensor([1]), coalition[None])
        by_hand = [network(torch.where(keep, inputs[1], draw[0])[None])[0, 1].item() for draw in draws]
        assert v[1, number].item() == pytest.approx(np.mean(by_hand), abs=1e-12)
    assert torch.allclose(v[:, -1], evaluate(game, progress=False)[:, -1])  # nobody is absent


def test_shuffling_keeps_content(inputs):
    moved, whose = shuffled(inputs, PLAYERS, seed=1)
    assert torch.equal(whose.sort(1).values, torch.arange(4).expand(GAMES, 4))
    assert (whose != torch.arange(4)).any()
    for game in range(GAMES):
        for player in range(4):
            source = PLAYERS.owner == whose[game, player]
            assert torch.equal(moved[game][:, PLAYERS.owner == player], inputs[game][:, source])
    some = with_background()
    moved, _ = shuffled(inputs, some, seed=1)
    assert torch.equal(moved[..., some.owner == -1], inputs[..., some.owner == -1])


def test_what_cannot_be_shuffled(inputs):
    for players in (of_each_game(), Players(torch.tensor([0] * 7 + [1] * 9).view(4, 4), 2, axis=-2)):
        with pytest.raises(ValueError, match="cells of one size"):
            shuffled(inputs, players)


def test_what_cannot_be_replaced(pool, inputs):
    game = game_of(linear(), inputs)
    with pytest.raises(ValueError, match="no replacement is called 'mean'; there are marginal"):
        replacement_named("mean", game, pool)
    for name in REPLACEMENTS:
        with pytest.raises(ValueError, match=r"expected at least \d other inputs"):
            replacement_named(name, game, pool[:2], draws=4)
    layered = MaskedModel(
        nn.Sequential(nn.Identity(), *linear()), inputs, PLAYERS, labels=[0, 1, 0], layer="0"
    )
    with pytest.raises(ValueError, match="the game masks the layer '0'"):
        ReplacedModel(layered, marginal(pool, GAMES))
    tokens = torch.ones(2, 4, dtype=torch.long)
    words = Players(torch.arange(4), 4, axis=0)
    embedded = nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(12, 2))
    text = MaskedModel(embedded, tokens, words, labels=[0, 1])
    with pytest.raises(ValueError, match=r"patches of pictures; the inputs are torch\.int64"):
        ReplacedModel(text, marginal(pool, 2))
