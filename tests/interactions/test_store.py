"""The store: whole games, the same bytes after a kill, other settings refused."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from harsanyi.data import planted
from harsanyi.interactions import Store, evaluate, evaluate_outputs
from harsanyi.interactions.game.tried import trial_of
from tests.places import ROOT


class SeveralGames:
    """Planted games one after the other; each score costs `seconds`."""

    n, games, device = 6, 12, torch.device("cpu")

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.asked = seconds, 0
        self.each = [planted(self.n, seed=seed) for seed in range(self.games)]

    def batch_size(self):
        return 2**self.n * 2

    def scores(self, games, coalitions):
        time.sleep(self.seconds)
        self.asked += len(games)
        values = [self.each[g].value(c[None]) for g, c in zip(games.tolist(), coalitions, strict=True)]
        return torch.cat(values)


def tried(game):
    """The game after its trial, of which no answer is counted."""
    trial_of(game)
    game.asked = 0
    return game


DESCRIPTION = {
    "settings": {"score": "log_odds", "inputs": ["a", "b"]},
    "networks": ["before", "after"],
    "games": 12,
    "n": 6,
}


def create(path, **changes):
    return Store.open_or_create(path, **(DESCRIPTION | changes))


def test_tables_come_back(tmp_path):
    store = create(tmp_path / "run" / "v.h5", arrays={"owner": np.arange(4)})
    game = SeveralGames()
    store.fill("after", game, progress=False)
    assert torch.equal(store.v("after"), evaluate(game, progress=False))
    assert store.array("owner").tolist() == [0, 1, 2, 3]
    assert store.done("after").all()
    assert not store.done("before").any()
    with pytest.raises(ValueError, match="12 of 12 games of 'before' are not done"):
        store.v("before")
    with pytest.raises(ValueError, match="no network 'scratch'; it has before, after"):
        store.v("scratch")


def test_nothing_is_evaluated_twice(tmp_path):
    game = tried(SeveralGames())
    create(tmp_path / "v.h5").fill("before", game, progress=False)
    asked = game.asked
    create(tmp_path / "v.h5").fill("before", game, progress=False)
    assert game.asked == asked == 12 * 64


def test_other_settings_are_refused_and_named(tmp_path):
    create(tmp_path / "v.h5")
    with pytest.raises(ValueError, match='score: "log_odds" there, "logit" asked'):
        create(tmp_path / "v.h5", settings={"score": "logit", "inputs": ["a", "b"]})
    with pytest.raises(ValueError, match="players: 6 there, 7 asked"):
        create(tmp_path / "v.h5", n=7)


def test_a_game_that_does_not_fit(tmp_path):
    with pytest.raises(ValueError, match="holds 3 games of 6 players, not 12 of 6"):
        create(tmp_path / "v.h5", games=3).fill("before", SeveralGames(), progress=False)


def test_tables_that_were_evaluated_elsewhere(tmp_path):
    store = create(tmp_path / "values.h5")
    name, v = store.networks[0], torch.arange(12.0 * 2**6, dtype=torch.float64).view(12, -1)
    store.put(name, v)
    assert torch.equal(Store(store.path).v(name), v)
    assert not store.done(store.networks[-1]).any()
    with pytest.raises(ValueError, match=r"holds 12 games of 6 players, not tables of shape \(11, 64\)"):
        store.put(name, v[1:])


def test_tables_alone_where_outputs_are_kept(tmp_path):
    """Their checksums would be those of outputs that nobody wrote."""
    store = create(tmp_path / "values.h5", outputs={"before": 2, "after": 2})
    with pytest.raises(ValueError, match=r"values.h5 holds the outputs of all classes .* fill it"):
        store.put("before", torch.zeros(12, 64, dtype=torch.float64))
    assert not store.done("before").any()


def test_files_that_are_no_stores(tmp_path):
    with pytest.raises(FileNotFoundError, match="no store"):
        Store(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(ValueError, match="text.h5 cannot be read as a store"):
        Store(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w"):
        pass
    with pytest.raises(ValueError, match="no store of this version"):
        Store(tmp_path / "other.h5")


SCRIPT = """
from tests.interactions.test_store import SeveralGames, create
create("{path}").fill("before", SeveralGames(seconds={seconds}), progress=False)
"""


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_killed_and_resumed_it_ends_in_the_same_bytes(tmp_path):
    """SIGKILL in the middle, twice; what was done is not asked again."""
    create(tmp_path / "whole.h5").fill("before", SeveralGames(), progress=False)
    path = tmp_path / "killed.h5"
    for enough in (2, 6):
        script = SCRIPT.format(path=path, seconds=0.15)
        process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=os.environ)
        deadline = time.monotonic() + 60
        while (
            not path.exists() or Store(path).done("before").sum() < enough
        ) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        done = Store(path).done("before")
        assert enough <= done.sum() < 12
    game = tried(SeveralGames())
    create(path).fill("before", game, progress=False)
    assert game.asked == 64 * int((~done).sum())
    assert digest(path) == digest(tmp_path / "whole.h5")


def test_the_file_is_opened_once_and_read_meanwhile(tmp_path, monkeypatch):
    """Another process sees every game as soon as it is done, and nothing of the next."""
    store = create(tmp_path / "v.h5")
    opened, seen = [], []
    monkeypatch.setattr(
        h5py, "File", lambda *path, file=h5py.File, **how: opened.append(path) or file(*path, **how)
    )
    script = (
        f"from harsanyi.interactions import Store; print(Store({str(store.path)!r}).done('before').sum())"
    )

    class Watched(SeveralGames):
        def scores(self, games, coalitions):
            if self.asked == 4 * 64:
                run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
                seen.append(run.stdout)
            return super().scores(games, coalitions)

    store.fill("before", tried(Watched()), progress=False)
    assert seen == ["4\n"]
    assert [mode for _, mode in opened].count("r+") == 1
    assert store.done("before").all()


class Classifier(SeveralGames):
    """Three outputs a coalition, of which the score takes one."""

    def outputs(self, games, coalitions):
        score = self.scores(games, coalitions)
        return torch.stack([score, 2 * score, -score], dim=1).float()

    def scored(self, outputs, games):
        return outputs[torch.arange(len(outputs)), games % 3].double()


def test_outputs_of_all_classes_are_kept_and_scores_read_off_them(tmp_path):
    game = tried(Classifier())
    store = create(tmp_path / "v.h5", outputs={"before": 3, "after": 3})
    store.fill("before", game, progress=False)
    assert game.asked == 12 * 64  # one forward for all classes
    expected = evaluate_outputs(game, progress=False)
    assert torch.equal(store.outputs("before"), expected)
    picked = torch.stack([expected[g, :, g % 3] for g in range(12)])
    assert torch.equal(store.v("before"), picked.double())
    with pytest.raises(ValueError, match="games of 'after' are not done"):
        store.outputs("after")


def test_a_store_with_outputs_serves_those_who_need_none_but_not_the_other_way(tmp_path):
    create(tmp_path / "with.h5", outputs={"before": 3, "after": 3})
    assert create(tmp_path / "with.h5").keeps_outputs
    create(tmp_path / "without.h5")
    with pytest.raises(ValueError, match="outputs of all classes: false there, true asked"):
        create(tmp_path / "without.h5", outputs={"before": 3, "after": 3})
    with pytest.raises(ValueError, match="holds scores of labels but no outputs of all classes"):
        create(tmp_path / "without.h5").outputs("before")


def test_what_is_done_of_one_network_is_taken_over_by_its_twin(tmp_path):
    store = create(tmp_path / "v.h5", outputs={"before": 3, "after": 3})
    game = Classifier()
    store.fill("before", game, progress=False)
    store.copy("before", "after")
    asked = game.asked
    store.fill("after", game, progress=False)
    assert game.asked == asked
    assert torch.equal(store.v("after"), store.v("before"))
    assert torch.equal(store.outputs("after"), store.outputs("before"))


def test_a_game_without_outputs_cannot_give_them(tmp_path):
    store = create(tmp_path / "v.h5", outputs={"before": 3, "after": 3})
    with pytest.raises(ValueError, match="a SeveralGames has scores but no outputs of classes"):
        store.fill("before", SeveralGames(), progress=False)


def test_a_difference_is_told_where_it_is(tmp_path):
    path = tmp_path / "values.h5"
    long = "/data/" + "a" * 300
    create(
        path,
        settings={"weights": {"before": "ab", "after": "cd"}, "data": long + "/train", "inputs": ["a", "b"]},
    )
    with pytest.raises(ValueError) as error:
        create(
            path,
            settings={
                "weights": {"before": "ab", "after": "ce"},
                "data": long + "/test",
                "inputs": ["a", "c"],
            },
        )
    assert 'weights of after: "cd" there, "ce" asked' in str(error.value)
    assert 'inputs, number 1: "b" there, "c" asked' in str(error.value)
    assert 'a/train" there' in str(error.value)
    assert 'a/test" asked' in str(error.value)


def test_a_store_put_in_the_place_of_another_is_refused(tmp_path):
    store = create(tmp_path / "values.h5")
    other = create(tmp_path / "other.h5", settings={"score": "logit", "inputs": ["a", "b"]})
    other.path.replace(store.path)
    for ask in (store.done, store.v):
        with pytest.raises(ValueError, match="it was replaced"):
            ask("before")
    with pytest.raises(ValueError, match="it was replaced"):
        store.fill("before", tried(SeveralGames()), progress=False)


# Fills a store slowly.
FILL = """
import sys
from harsanyi.interactions import Store
from tests.interactions.test_store import SeveralGames
print("begun", flush=True)
Store(sys.argv[1]).fill("before", SeveralGames(0.2), progress=False)
"""


def test_two_processes_do_not_fill_one_store(tmp_path):
    store = create(tmp_path / "values.h5")
    first = subprocess.Popen(
        [sys.executable, "-c", FILL, str(store.path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        for _ in range(600):
            if store.done("before").any():
                break
            time.sleep(0.1)
        with pytest.raises(ValueError, match=rf"values\.h5 is being written by process {first.pid} on"):
            store.fill("after", tried(SeveralGames()), progress=False)
        assert store.done("before").any()  # a reader is not held up
    finally:
        first.kill()
        first.communicate()
    store.fill("after", tried(SeveralGames()), progress=False)
    assert store.done("after").all()


class Picky(SeveralGames):
    """Some games have no finite score, others raise."""

    def scores(self, games, coalitions):
        if (games == 7).any():
            raise RuntimeError("no such input")
        scores = super().scores(games, coalitions)
        scores[(games == 4) & coalitions.all(1)] = torch.inf
        return scores


def test_a_game_that_fails_is_recorded_and_the_others_go_on(tmp_path):
    create(tmp_path / "whole.h5").fill("before", SeveralGames(), progress=False)
    whole, store = Store(tmp_path / "whole.h5"), create(tmp_path / "v.h5")
    store.fill("before", Picky(), progress=False, record=True)
    reasons = store.failed("before")
    assert reasons[4].startswith("the score of game 4 is inf for coalition 63 (1 such scores in all)")
    assert reasons == {4: reasons[4], 7: "no such input"}
    assert store.settled("before").all()
    kept = [game for game in range(12) if game not in reasons]
    view = store.select(kept)
    assert torch.equal(view.v("before"), whole.v("before", kept))
    assert (view.games, view.numbers, view.failed("before")) == (10, kept, {})
    assert torch.equal(view.v("before", [0, 5]), whole.v("before", [kept[0], kept[5]]))
    store.forget("before", [4, 7])
    store.fill("before", SeveralGames(), progress=False)
    assert digest(store.path) == digest(whole.path)


def test_failures_without_a_record_are_raised(tmp_path):
    with pytest.raises(ValueError, match="game 4 is inf"):
        create(tmp_path / "v.h5").fill("before", Picky(), progress=False)


def test_damaged_numbers_are_named_and_refused(tmp_path):
    store = create(tmp_path / "v.h5")
    store.fill("before", SeveralGames(), progress=False)
    store.copy("before", "after")
    before = digest(store.path)
    assert store.damaged("before") == store.damaged("after") == []
    with h5py.File(store.path, "r+") as file:
        file["v/after"][5, 3] += 1e-12
    assert (store.damaged("before"), store.damaged("after")) == ([], [5])
    with pytest.raises(ValueError, match=r"the numbers of 1 game of after \(5\) are not those"):
        store.v("after")
    store.v("after", [4, 6])
    store.forget("after", store.damaged("after"))
    store.fill("after", SeveralGames(), progress=False)
    assert digest(store.path) == before


def test_failed_games_are_taken_with_their_reasons_and_damaged_ones_are_refused(tmp_path):
    """Of a game that failed alone nobody knows how many outputs it has."""
    outputs = {"before": 3, "after": 3}
    first, second = (create(tmp_path / f"{name}.h5", outputs=outputs) for name in ("first", "second"))
    table = np.arange(64.0)[None]
    first.write("before", range(1), {"v": table, "outputs": np.ones((1, 64, 3), dtype=np.float32)})
    nothing = {"v": table * np.nan, "outputs": np.full((1, 64, 1), np.nan, dtype=np.float32)}
    first.write("before", range(1, 2), nothing | {"failed": np.array([b"no such input"])})
    first.copy("before", "after")
    second.take(first)
    for store, name in ((first, "after"), (second, "before"), (second, "after")):
        assert store.failed(name) == {1: "no such input"}
        assert store.done(name).nonzero()[0].tolist() == [0]
        assert store.damaged(name) == []
    assert digest(first.path) == digest(second.path)
    with h5py.File(first.path, "r+") as file:
        file["outputs/after"][0, 3] += 1
    for store in (second, create(tmp_path / "third.h5", outputs=outputs)):
        with pytest.raises(ValueError, match=r"first.h5 is damaged: the numbers of 1 game of after \(0\)"):
            store.take(first)
