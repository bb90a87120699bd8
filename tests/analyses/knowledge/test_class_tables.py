"""The outputs of all classes, kept with one forward, and the interactions of every class."""

from dataclasses import replace

import pytest
import torch

from harsanyi.analyses import Compare, Run, compute
from harsanyi.analyses.knowledge.class_tables import class_tables
from harsanyi.analyses.run.by_class import interactions_by_class
from harsanyi.interactions import AndOr, extract
from harsanyi.interactions.game.scores import log_odds


@pytest.fixture(scope="module")
def study(checkpoints, comparison, tmp_path_factory) -> Compare:
    fine = str(checkpoints / "fine.safetensors")  # ten classes: it gets a read-out for four
    out = tmp_path_factory.mktemp("classes") / "run"
    return comparison(out, before=fine, read_out=("before",), method="and-or", keep_outputs=True)


@pytest.fixture(scope="module")
def run(study):
    return compute(study, progress=False)


def test_each_class_against_a_literal_loop():
    outputs = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    tables = class_tables(outputs, [2, 0])
    for k, number in enumerate((2, 0)):
        for game in range(2):
            for coalition in range(4):
                expected = log_odds(outputs[game, coalition][None], torch.tensor([number]))
                assert tables[k, game, coalition] == expected.item()
    with pytest.raises(ValueError, match="expected numbers of 3 outputs, 0 to 2; got 3"):
        class_tables(outputs, [3])


def test_the_label_s_class_has_the_table_of_the_label(run):
    for network in ("before", "after"):
        by_class = interactions_by_class(run, [network])[network]
        assert len(by_class) == len(run.classes) == 4
        for game, label in enumerate(run.labels.tolist()):
            assert torch.equal(by_class[label].v[game], run.store.v(network)[game])
            assert torch.equal(by_class[label].and_[game], run.interactions[network].and_[game])


def test_every_class_s_interactions_are_those_of_its_own_table(run):
    tables = class_tables(run.store.outputs("after"), run.known_classes.outputs["after"])
    for k, found in enumerate(interactions_by_class(run, ["after"])["after"]):
        expected = extract(tables[k], AndOr())
        assert torch.equal(found.v, tables[k])
        assert torch.equal(found.or_, expected.or_)


def test_outputs_cost_no_forward_more_and_nothing_is_evaluated_twice(study, run, tmp_path, forwards):
    compute(replace(study, out=tmp_path / "with"), progress=False)
    trial = 2  # a network is tried on one coalition before the work begins
    assert sum(forwards) == 2 * 3 * 16 + trial
    forwards.clear()
    compute(replace(study, out=tmp_path / "without", keep_outputs=False), progress=False)
    assert sum(forwards) == 2 * 3 * 16 + trial
    forwards.clear()
    again = compute(study, progress=False)
    interactions_by_class(again, ["before", "after"])
    interactions_by_class(Run.open(study.out), ["after"])
    assert forwards == []


def test_the_same_network_under_two_names_is_asked_once(study, tmp_path, forwards):
    again = compute(replace(study, before=study.after, read_out=(), out=tmp_path / "twins"), progress=False)
    assert sum(forwards) == 3 * 16 + 2
    assert torch.equal(again.store.v("before"), again.store.v("after"))


def test_scores_are_the_same_with_and_without_outputs(study, run, tmp_path):
    without = compute(replace(study, out=tmp_path / "without", keep_outputs=False), progress=False)
    assert torch.equal(without.store.v("after"), run.store.v("after"))
    with pytest.raises(ValueError, match="again, with --keep-outputs"):
        interactions_by_class(without, ["after"])


def test_the_interactions_of_classes_are_kept(run):
    path = run.store.path.parent / "interactions-after-classes.h5"
    interactions_by_class(run, ["after"])
    written = path.stat().st_mtime_ns
    assert interactions_by_class(Run.open(run.folder), ["after"])["after"][0].games == 3
    assert path.stat().st_mtime_ns == written


def test_the_joint_split_is_that_of_all_networks(study, tmp_path):
    joint = compute(replace(study, method="joint", out=tmp_path / "joint"), progress=False)
    found = interactions_by_class(joint, ["after"])
    assert list(found) == ["after"]
    label = joint.labels[0].item()
    torch.testing.assert_close(found["after"][label].v[0], joint.interactions["after"].v[0])
    assert (tmp_path / "joint/interactions-before-classes.h5").is_file()
