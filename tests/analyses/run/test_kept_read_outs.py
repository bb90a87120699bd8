"""Read-outs are kept beside the store: a run goes on with the same ones, whatever the number of threads."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from harsanyi.analyses.run.compute import compute
from harsanyi.analyses.run.run import Run
from harsanyi.models.training import probes


@pytest.fixture
def other_threads(monkeypatch, tmp_path):
    """Fits from here on differ in their last bits, and nothing is in the user's cache."""

    def enter() -> None:
        fit = probes.FITS["classification"]

        def nearly(features: np.ndarray, target: np.ndarray):
            weight, bias = fit(features, target)
            return weight * (1 + 1e-6), bias

        monkeypatch.setitem(probes.FITS, "classification", nearly)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no cache"))

    return enter


def probed(comparison, out: Path, **more):
    return comparison(out, read_out=("before",), read_out_inputs=40, **more)


def test_a_repeated_run_takes_the_kept_read_out(comparison, tmp_path, other_threads, forwards):
    study = probed(comparison, tmp_path / "run")
    first = compute(study, progress=False)
    kept = (study.out / "read-out-before.safetensors").read_bytes()
    v, facts = first.store.v("before"), first.facts
    forwards.clear()
    other_threads()
    again = compute(study, progress=False)
    assert not any(forwards[2:])  # the trial of each network's game alone
    assert torch.equal(again.store.v("before"), v)
    assert again.facts == facts
    assert (study.out / "read-out-before.safetensors").read_bytes() == kept


def test_a_killed_run_goes_on_with_the_same_bits(comparison, tmp_path, other_threads):
    whole = compute(probed(comparison, tmp_path / "whole"), progress=False)
    study = probed(comparison, tmp_path / "killed")
    compute(study, progress=False)
    with Run.open(study.out).store._file("r+") as file:  # as if the last game was never done
        file["done/before"][2], file["v/before"][2] = 0, 0.0
    other_threads()
    done = compute(study, progress=False)
    assert torch.equal(done.store.v("before"), whole.store.v("before"))


def test_without_the_kept_file_it_is_fitted_anew(comparison, tmp_path, other_threads):
    study = probed(comparison, tmp_path / "run")
    compute(study, progress=False)
    path = study.out / "read-out-before.safetensors"
    weight = load_file(path)["weight"]
    path.unlink()
    other_threads()
    compute(study, progress=False)
    assert not torch.equal(load_file(path)["weight"], weight)


def test_another_recipe_is_another_run(comparison, tmp_path):
    compute(probed(comparison, tmp_path / "run"), progress=False)
    with pytest.raises(ValueError, match="was made with other settings .weights"):
        compute(comparison(tmp_path / "run", read_out=("before",), read_out_inputs=60), progress=False)
    with pytest.raises(ValueError, match="was made with other settings .weights"):
        compute(comparison(tmp_path / "run"), progress=False)


def test_what_is_kept_is_what_answers(comparison, tmp_path):
    study = probed(comparison, tmp_path / "run")
    compute(study, progress=False)
    from harsanyi.analyses.study.prepare import prepare

    head = prepare(study).networks["before"].require_head()
    kept = load_file(study.out / "read-out-before.safetensors")
    assert torch.equal(head.weight, kept["weight"])
    assert torch.equal(head.bias, kept["bias"])
    assert prepare(study).read_outs["before"].kept
