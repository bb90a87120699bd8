"""Methods and what they give: salience, strength, top, files."""

import warnings

import h5py
import numpy as np
import pytest
import torch
from shapiq import ExactComputer, Game

from harsanyi.interactions import And, AndOr, Interactions, SparseAndOr, extract, reconstruct
from tests import reference

METHODS = [And(), AndOr(), SparseAndOr(noise=0.0), SparseAndOr(noise=0.04)]


@pytest.fixture
def v():
    return torch.randn(4, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_every_method_explains_the_table(v, method):
    result = extract(v, method)
    residual = v - torch.stack(
        [reference.reconstruct(a, o) for a, o in zip(result.and_, result.or_, strict=True)]
    )
    torch.testing.assert_close(result.residual, residual, rtol=0, atol=1e-10)
    noise = getattr(method, "noise", 0.0)
    assert (residual.abs().amax(1) <= noise * (v[:, -1] - v[:, 0]).abs() + 1e-10).all()
    assert (result.gap is None) == (not isinstance(method, SparseAndOr))


def test_the_even_split(v):
    result = extract(v, AndOr())
    torch.testing.assert_close(result.and_[1], reference.and_interactions(v[1] / 2), rtol=0, atol=1e-10)
    torch.testing.assert_close(result.or_[1], reference.or_interactions(v[1] / 2), rtol=0, atol=1e-10)


def test_sparse_is_sparser_than_even(v):
    sparse, even = (extract(v, m).effects.abs().sum((1, 2)) for m in (SparseAndOr(noise=0.0), AndOr()))
    assert (sparse < even).all()


@pytest.mark.parametrize("threshold", [0.0, 0.05, 0.5])
def test_salient_by_the_literal_rule(v, threshold):
    result = extract(v, AndOr())
    salient = result.salient(threshold)
    for game in range(4):
        strongest = max(abs(e) for e in [*result.and_[game, 1:].tolist(), *result.or_[game, 1:].tolist()])
        for kind, mask in ((result.and_, salient.and_), (result.or_, salient.or_)):
            assert not mask[game, 0]
            for s in range(1, 32):
                assert mask[game, s].item() == (abs(kind[game, s].item()) > threshold * strongest)
    assert salient.count().tolist() == (salient.and_.sum(1) + salient.or_.sum(1)).tolist()
    assert f"{threshold:g}" in salient.rule


@pytest.mark.parametrize("threshold", [-0.1, 1.0, float("nan")])
def test_thresholds_that_make_no_sense(v, threshold):
    with pytest.raises(ValueError, match="threshold in"):
        extract(v, And()).salient(threshold)


def test_only_the_salient(v):
    result = extract(v, AndOr())
    salient = result.salient(0.3)
    kept = result.only(salient)
    assert torch.equal(kept.and_[:, 1:] != 0, salient.and_[:, 1:])
    assert torch.equal(kept.and_[:, 0], result.and_[:, 0])
    assert kept.residual.abs().max() > 0


def test_top(v):
    result = extract(v, AndOr())
    everything = sorted(
        (
            (kind, s, effects[2, reference.index(s, 5)].item())
            for kind, effects in (("and", result.and_), ("or", result.or_))
            for s in reference.subsets(tuple(range(5)))
            if s
        ),
        key=lambda item: -abs(item[2]),
    )
    top = [(i.kind, i.players, i.effect) for i in result.top(10)[2]]
    assert top == everything[:10]
    assert result.top(1)[2][0].order == len(everything[0][1])


@pytest.mark.usefixtures("unchecked")
def test_strength_by_order_player_and_total(v):
    result = extract(v, AndOr())
    by_order, by_player, total = (result.strength(by=by) for by in ("order", "player", "total"))
    literal_order, literal_player = torch.zeros(2, 2, 6), torch.zeros(2, 2, 5)
    for k, effects in enumerate((result.and_, result.or_)):
        for s in reference.subsets(tuple(range(5))):
            if s:
                effect = effects[3, reference.index(s, 5)].item()
                literal_order[k, int(effect < 0), len(s)] += abs(effect)
                for i in s:
                    literal_player[k, int(effect < 0), i] += abs(effect)
    torch.testing.assert_close(by_order[3].float(), literal_order)
    torch.testing.assert_close(by_player[3].float(), literal_player)
    torch.testing.assert_close(total[..., 0], by_order.sum(-1))
    with pytest.raises(ValueError, match='"order", "player" or "total"'):
        result.strength(by="size")


def test_scaled(v):
    result = extract(v, AndOr())
    factors = torch.tensor([1.0, 2.0, -1.0, 0.5])
    torch.testing.assert_close(result.scaled(factors).residual, torch.zeros_like(v), rtol=0, atol=1e-10)
    torch.testing.assert_close(result.scaled(3.0).and_, 3 * result.and_)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_saved_and_loaded(v, method, tmp_path):
    result = extract(v, method)
    result.save(tmp_path / "i.h5")
    back = Interactions.load(tmp_path / "i.h5")
    assert back.method == str(method)
    for name in ("and_", "or_", "v"):
        assert torch.equal(getattr(back, name), getattr(result, name))
    assert (back.gap is None) == (result.gap is None)
    assert back.to("cpu").games == 4


def test_files_that_are_no_interactions(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        Interactions.load(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("hello")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["v"] = np.zeros(3)
    for name in ("text.h5", "other.h5"):
        with pytest.raises(ValueError, match="cannot be read as a file of 'harsanyi interactions 1'"):
            Interactions.load(tmp_path / name)


@pytest.mark.usefixtures("unchecked")
def test_shapes_must_agree(v):
    with pytest.raises(ValueError, match="one shape"):
        Interactions(v, v[:, :16], v, "by hand")
    with pytest.raises(ValueError, match="shape"):
        extract(v[0], And())


def test_extraction_says_what_memory_it_needs(v, monkeypatch):
    monkeypatch.setattr("harsanyi.interactions.machine.memory.free_bytes", lambda device: 100)
    with pytest.raises(MemoryError, match="extraction from 4 games of 5 players"):
        extract(v, And())


class TableGame(Game):
    """A value table as shapiq's game."""

    def __init__(self, table):
        self.table = table.numpy()
        super().__init__(table.shape[0].bit_length() - 1, normalize=False)

    def value_function(self, coalitions):
        return self.table[coalitions @ (2 ** np.arange(self.n_players - 1, -1, -1))]


@pytest.mark.parametrize("index", ["Moebius", "k-SII", "SII", "BII", "STII", "FSII", "FBII", "SV", "BV"])
@pytest.mark.parametrize("order", [None, 1, 2])
def test_to_shapiq_agrees_with_shapiq(v, index, order):
    largest = 1 if index in ("SV", "BV") else 5
    if (order or largest) > largest:
        with pytest.raises(ValueError, match="an order of 1 to 1"):
            extract(v, AndOr()).to_shapiq(0, index, order)
        return
    exact = ExactComputer(TableGame(v[0]), 5)(index, order or largest)
    ours = extract(v, AndOr()).to_shapiq(0, index, order)
    assert ours.n_players == 5
    assert not ours.estimated
    assert ours.index == exact.index  # the Shapley interaction indices of order 1 are Shapley values
    assert ours.max_order == (order or largest)
    for coalition in reference.subsets(tuple(range(5))):
        if 0 < len(coalition) <= (order or largest):
            # Both sum 32 float64 numbers of size 1, by weights that the least squares of FSII enlarge.
            assert ours[coalition] == pytest.approx(exact[coalition], abs=1e-9)
    if index != "BV":  # shapiq's own two ways to it have different baselines
        assert ours.baseline_value == pytest.approx(exact.baseline_value, abs=1e-9)


def test_to_shapiq_says_where_a_split_left_noise(v):
    result = extract(v, SparseAndOr(noise=0.04))
    assert result.to_shapiq(0).estimated
    explained = reconstruct(result.and_, result.or_)[0]
    exact = ExactComputer(TableGame(explained), 5)("k-SII", 2)
    assert result.to_shapiq(0, "k-SII", 2)[(1, 3)] == pytest.approx(exact[(1, 3)], abs=1e-9)  # as above
    with pytest.raises(ValueError, match="expected an index of Moebius, .*; got 'none' of order 5"):
        result.to_shapiq(0, "none")
    with pytest.raises(ValueError, match="an order of 1 to 5; got 'Moebius' of order 6"):
        result.to_shapiq(0, order=6)


@pytest.mark.parametrize("n", [10, 12])
@pytest.mark.parametrize("index", ["Moebius", "k-SII"])
def test_plots_of_shapiq(n, index):
    """Network, upset, stacked bar and force plots of many players draw what they are given, up to order 2."""
    import matplotlib.pyplot as plt

    table = torch.randn(1, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
    result = extract(table, And())
    values = result.to_shapiq(0, index, 2)
    names = list(result.about.names(range(n)))
    with plt.rc_context({"backend": "agg"}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of shapiq and matplotlib about each other
        values.plot_network(show=False, feature_names=names)
        values.plot_upset(show=False, feature_names=names)
        values.plot_stacked_bar(show=False, feature_names=names)
        values.plot_force(show=False, feature_names=names)
        assert len(plt.get_fignums()) == 4
        plt.close("all")


def test_residual_is_zero_without_noise(v):
    result = extract(v, SparseAndOr(noise=0.0))
    torch.testing.assert_close(reconstruct(result.and_, result.or_), v, rtol=0, atol=1e-10)
