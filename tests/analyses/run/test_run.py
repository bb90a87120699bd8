"""The whole path: from checkpoints to report, again without a forward, and on after a kill."""

import html
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from harsanyi import data
from harsanyi.analyses import Run, compare, read_table, study_in
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.comparison.comparison import comparison_figures
from harsanyi.analyses.comparison.labels import signed
from harsanyi.analyses.run.extraction import paused
from harsanyi.interactions import Interactions, Store
from harsanyi.interactions.sparse.fit import MAX_STEPS
from harsanyi.progress import progress_bar
from tests.alternatives import captions_alone
from tests.legible import faults
from tests.places import ROOT

TABLES = {f"{name}.{ending}" for name in ("change", "games", "interactions") for ending in ("csv", "h5")}
WRITTEN = {"study.toml", "values.h5", "facts.json", "report.html"} | TABLES


def comparison(checkpoints: Path, out: Path, *more: str) -> list[str]:
    """Arguments of a comparison of the bundled images."""
    named = [f"--{name}={checkpoints / name}.safetensors" for name in ("before", "after")]
    return [
        "compare",
        "--model=small:cnn",
        *named,
        f"--data={data.fashion_mnist_path('test')}",
        "--level=coarse",
        "--inputs=4",
        "--players=grid:2x2",
        f"--out={out}",
        *more,
    ]


@pytest.fixture
def forwards():
    """Counts forwards of whole networks, the probes of players and batches included."""
    counted = []
    hook = torch.nn.modules.module.register_module_forward_hook(
        lambda module, _, __: counted.append(1) if isinstance(module, torch.nn.Sequential) else None
    )
    yield counted
    hook.remove()


@pytest.fixture(scope="module")
def run(checkpoints, tmp_path_factory) -> Path:
    """A finished comparison of three networks."""
    out = tmp_path_factory.mktemp("runs") / "three"
    main(comparison(checkpoints, out, f"--scratch={checkpoints / 'scratch.safetensors'}"))
    return out


def test_what_a_comparison_writes(run):
    tables = {f"interactions-{name}.h5" for name in ("before", "after", "scratch")}
    assert {path.name for path in run.iterdir()} == WRITTEN | tables | {"figures"}
    assert len(list((run / "figures").glob("*.png"))) == 6
    report = (run / "report.html").read_text(encoding="utf-8")
    for said in ("accuracy of scratch", "also has", "4 of", "grid:2x2 (4 players, 16 masked versions"):
        assert said in report
    assert "read-out" not in report
    assert captions_alone(run / "report.html") == []
    opened = Run.open(run)
    assert faults(comparison_figures(opened, opened.change, read_table(run / "change.h5"))) == []
    after = Run.open(run).interactions["after"]
    strongest = next(row for row in after.table().itertuples() if row.game == 0)
    players, effect = f"{strongest.kind.upper()} “{strongest.players}”", signed(strongest.effect)
    said = f"is the {players}: {effect} ({after.about.unit})"
    assert f"The strongest interaction of this input {said}." in html.unescape(report)


def test_the_strongest_interactions_in_words(run):
    table = pd.read_csv(run / "interactions.csv")
    opened = Run.open(run)
    assert table.network.unique().tolist() == ["before", "after", "scratch"]
    for name, network in opened.interactions.items():
        own = network.table(threshold=opened.study.threshold)
        assert table[table.network == name].players.tolist() == own.players.tolist()
        assert network.about.inputs == tuple(opened.store.settings["inputs"])
        assert (network.about.network, network.about.unit) == (name, "log-odds, nats")
        assert network.about.plan == "dense"
    assert set(table.players[table.order == 1]) <= {f"row {i}, column {j}" for i in (1, 2) for j in (1, 2)}
    assert "3 networks on 4 games of 4 players" in repr(opened)


def test_a_store_of_an_older_version_says_what_its_settings_say(run, tmp_path):
    older = shutil.copytree(run, tmp_path / "older")
    with h5py.File(older / "values.h5", "r+") as file:
        del file["about"]
    (older / "interactions-after.h5").unlink()
    known, about = (Run.open(folder).interactions["after"].about for folder in (run, older))
    assert about.players == ()
    assert (about.inputs, about.labels, about.unit) == (known.inputs, known.labels, known.unit)


def test_csv_hdf5_and_the_api_agree(run):
    table = read_table(run / "change.h5")
    csv = pd.read_csv(run / "change.csv", dtype={"order": str})
    pd.testing.assert_frame_equal(csv, table, check_exact=True)
    found = [Interactions.load(run / f"interactions-{name}.h5") for name in ("before", "after", "scratch")]
    change = compare(found[0], found[1], scratch=found[2])
    pd.testing.assert_frame_equal(change.table(), table, check_exact=True)
    opened = Run.open(run)
    assert torch.equal(opened.change.shared, change.shared)
    assert torch.equal(found[0].v, opened.store.v("before"))


def test_the_table_of_games_tells_every_gap(run):
    table = read_table(run / "games.h5")
    assert table.groupby("network").size().to_dict() == {"before": 4, "after": 4, "scratch": 4}
    for name, found in Run.open(run).interactions.items():
        rows = table[table.network == name]
        assert rows.gap.tolist() == found.gap.tolist()
        assert rows.strength.tolist() == found.effects.abs().sum((1, 2)).tolist()
        assert rows.input.tolist() == [Run.open(run).title_of(game) for game in range(4)]


@pytest.mark.usefixtures("no_pixels")
def test_a_gap_that_stays_open_is_told_in_table_and_report(checkpoints, tmp_path, monkeypatch):
    monkeypatch.setitem(MAX_STEPS, "splitting", 1)
    main(comparison(checkpoints, tmp_path / "run"))
    assert (read_table(tmp_path / "run/games.h5").gap > 1e-3).all()
    report = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "did not reach its tolerance of 0.1% for some games: 4 of before, 4 of after" in report


def test_ranges_stand_beside_effects_in_table_report_and_drawing(run, tmp_path, forwards, capsys):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    main(["compare", str(run / "study.toml"), f"--out={copy}", "--ranges=3"])
    assert len(forwards) == 3  # each network answers one input, to show that it is the same
    table = read_table(copy / "ranges.h5")
    assert len(table) == 3 * 4 * 3  # networks, inputs, interactions
    slip = 1e-9 * table.effect.abs().max()  # of rounding
    inside = (table.lowest <= table.low + slip) & (table.high <= table.highest + slip)
    assert inside.all()
    assert ((table.low <= table.effect + slip) & (table.effect <= table.high + slip)).all()
    report = (copy / "report.html").read_text(encoding="utf-8")
    assert "the 36 strongest effects can vary by" in report
    first = Run.open(copy).interactions["after"].top(3)[0][0]
    row = table[(table.network == "after") & (table.game == 0)].iloc[0]
    assert (first.effect, first.range) == (row.effect, (row.lowest, row.highest))
    assert [str(player) for player in first.players] == row.players.split()
    main(["show", str(copy), "--what=ranges"])


def test_ranges_that_were_not_asked_for(run, refused):
    assert "SparseAndOr(ranges=5)" in refused("show", str(run), "--what=ranges")
    assert "--ranges is for --method sparse" in refused(
        "compare", str(run / "study.toml"), "--method=and", "--ranges=2"
    )


@pytest.mark.usefixtures("no_pixels")
def test_networks_split_together(run, tmp_path, forwards):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    main(["compare", str(run / "study.toml"), f"--out={copy}", "--method=joint", "--specific=0.25"])
    assert len(forwards) == 3  # each network answers one input, to show that it is the same
    found = Run.open(copy).interactions
    apart = Run.open(run).interactions
    assert "specific=0.25" in found["after"].method
    assert "('before', 'after', 'scratch')" in found["after"].method
    assert found["before"].gap.tolist() == found["scratch"].gap.tolist()
    assert found["before"].gap.max() <= 1e-3
    shared, single = (
        torch.stack([one.effects for one in each.values()]).abs().amax(0).sum() for each in (found, apart)
    )
    assert shared < single  # what the joint split is for: less strength in the strongest of the networks


def test_the_time_left_is_that_of_the_forwards_that_are_left(monkeypatch):
    """Half is there and takes no time, neither does planning; then a quarter in ten seconds leaves ten."""
    now = 0.0
    for clock in ("tqdm.std.time", "harsanyi.analyses.run.extraction.time"):
        monkeypatch.setattr(clock, lambda: now)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with progress_bar(400, "value tables", "forward", there=200) as bar:
        with paused(bar):
            now += 30.0
        now += 10.0
        bar.update(100)  # a game of a plan, all at once
        assert "300 of 400 forwards [00:10<00:10]" in str(bar)


def test_the_bar_counts_forwards_that_are_made(checkpoints, tmp_path, monkeypatch):
    """Games done before, and networks that are copies of another, are there at the start."""
    scratch = f"--scratch={checkpoints / 'before.safetensors'}"
    arguments = comparison(checkpoints, tmp_path, scratch, "--batch-size=16")  # a game
    bars = []

    def recorded(*arguments, **options):
        bars.append(progress_bar(*arguments, **options))
        bars[-1].disable = False  # count, also where none is shown
        return bars[-1]

    monkeypatch.setattr("harsanyi.analyses.run.compute.progress_bar", recorded)
    main(arguments)
    with h5py.File(tmp_path / "values.h5", "r+") as file:
        file["done/after"][2:] = 0
    main(arguments)
    assert [(bar.initial, bar.n, bar.total) for bar in bars] == [
        (4 * 16, 3 * 4 * 16, 3 * 4 * 16),
        (2 * 16, 4 * 16, 4 * 16),
    ]


def test_value_tables_are_the_networks_log_odds(run, checkpoints):
    from harsanyi import models

    opened = Run.open(run)
    network = models.load("small:cnn", checkpoints / "after.safetensors")
    everything = data.load(data.fashion_mnist_path("test"))
    name = opened.store.settings["inputs"][1]
    row = everything.names.index(name)
    label = everything.level("coarse")[0][row]
    logits = network.logits(network.preprocess([everything.items[row]]))[0].double()
    others = torch.cat([logits[:label], logits[label + 1 :]])
    assert opened.store.v("after")[1, -1].item() == pytest.approx(
        (logits[label] - others.logsumexp(0)).item()
    )
    assert opened.title_of(1) == f"{name} · {everything.classes['coarse'][label]}"


def test_again_from_its_study_file_without_a_masked_forward(run, forwards, capsys):
    files = {name: (run / name).read_bytes() for name in ("change.csv", "values.h5", "report.html")}
    main(["compare", str(run / "study.toml")])
    assert len(forwards) == 3  # each network answers one input, to show that it is the same
    assert {name: (run / name).read_bytes() for name in files} == files
    assert "This rests on 4 inputs" in capsys.readouterr().out


@pytest.mark.usefixtures("no_pixels")
@pytest.mark.parametrize(
    "damage", ["{", '{"of": "", "facts": {}, "classes": {}, "performance": [], "plans": {}}']
)
def test_facts_of_another_form_are_measured_again(damage, run, forwards, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    facts = (copy / "facts.json").read_bytes()
    (copy / "facts.json").write_text(damage, encoding="utf-8")
    assert Run.open(copy).performance.empty
    main(["compare", str(run / "study.toml"), f"--out={copy}"])
    assert (copy / "facts.json").read_bytes() == facts
    assert len(Run.open(copy).performance) == 3


@pytest.mark.usefixtures("no_pixels")
def test_options_come_before_the_study_file(run, forwards, tmp_path):
    copy = tmp_path / "copy"
    main(["compare", str(run / "study.toml"), f"--out={copy}", "--inputs=3", "--method=and"])
    assert forwards
    study = study_in(copy / "study.toml")
    assert (study.inputs, study.method, study.out) == (3, "and", copy)
    assert study.checkpoints == study_in(run / "study.toml").checkpoints
    assert Store(copy / "values.h5").games == 3
    forwards.clear()
    main(["compare", str(copy / "study.toml"), "--method=and-or", "--threshold=0.2"])
    assert len(forwards) == 3  # each network answers one input, to show that it is the same
    assert Run.open(copy).interactions["before"].method == "AndOr()"
    assert "0.2 · max|I|" in (copy / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("what", "given", "name"),
    [
        ("top", ["--input=2", "--top=2"], "top-after-2"),
        ("change", ["--input=2", "--top=2"], "change-after-2"),
        ("matching", ["--input=2"], "matching-after-2"),
        ("sparsity", [], "sparsity-all"),
        ("orders", [], "orders-after"),
    ],
)
def test_show_draws(what, given, name, run, capsys):
    main(["show", str(run), "--what", what, *given])
    path = Path(capsys.readouterr().out.strip())
    assert path == run / "figures" / f"{name}.png"
    assert path.stat().st_size > 1000


@pytest.mark.usefixtures("no_pixels")
def test_interactions_are_extracted_again_where_their_file_is_cut_short(checkpoints, tmp_path, capsys):
    out = tmp_path / "run"
    main(comparison(checkpoints, out))
    path = out / "interactions-after.h5"
    whole = Interactions.load(path)
    path.write_bytes(path.read_bytes()[:700])
    main(["show", str(out), "--network=after"])
    assert torch.equal(Interactions.load(path).and_, whole.and_)


@pytest.mark.usefixtures("no_pixels")
def test_an_empty_store_stands_in_nobodys_way(checkpoints, tmp_path, refused):
    nan = f"--before={checkpoints / 'nan.safetensors'}"
    assert "its outputs are NaN" in refused(*comparison(checkpoints, tmp_path / "run", nan))
    main(comparison(checkpoints, tmp_path / "run"))


@pytest.mark.usefixtures("no_pixels")
def test_a_read_out_where_the_study_asks_for_it(checkpoints, tmp_path, capsys):
    out = tmp_path / "run"
    main(
        [
            *comparison(checkpoints, out, f"--before={checkpoints / 'fine.safetensors'}"),
            "--read-out=before",
            "--read-out-inputs=120",
        ]
    )
    assert "A linear read-out answers in place of the head of before (right for" in capsys.readouterr().out
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "read-out of before" in report
    assert "logistic regression on 120 inputs, accuracy" in report
    assert "accuracy of after" in report
    assert "accuracy of before" not in report  # on inputs that its read-out was fitted to
    assert "what a linear layer can use of a frozen backbone" in report
    again = tmp_path / "with-training-data"
    main(
        [
            *comparison(checkpoints, again, f"--before={checkpoints / 'fine.safetensors'}"),
            f"--train-data={data.fashion_mnist_path('train')}",
            "--read-out=before",
            "--read-out-inputs=120",
            "--players=grid:1x2",
        ]
    )
    assert "accuracy of before" in (again / "report.html").read_text(encoding="utf-8")


def test_superpixels(checkpoints, tmp_path, capsys):
    main(comparison(checkpoints, tmp_path / "run", "--players=superpixels:4", "--inputs=2"))
    store = Store(tmp_path / "run/values.h5")
    assert store.array("owner").shape == (2, 28, 28)
    assert store.n == 4
    main(["show", str(tmp_path / "run"), "--what=change"])


@pytest.mark.usefixtures("no_pixels")
def test_a_layers_output_is_masked(checkpoints, tmp_path, capsys):
    main(comparison(checkpoints, tmp_path / "run", "--layer=pool", "--players=grid:7x7:3", "--inputs=2"))
    store = Store(tmp_path / "run/values.h5")
    owner = store.array("owner")
    assert owner.shape == (28, 28)
    assert np.bincount(owner.ravel() + 1).tolist() == [28 * 28 - 3 * 16, 16, 16, 16]
    assert "masked</" in (tmp_path / "run/report.html").read_text(encoding="utf-8")
    main(["show", str(tmp_path / "run")])


@pytest.mark.usefixtures("no_pixels")
def test_what_the_network_predicts_on_unlabelled_pictures(checkpoints, pictures, tmp_path, capsys):
    out = tmp_path / "run"
    asked = comparison(checkpoints, out, f"--data={pictures / 'flat'}", "--label=predicted")
    main([part for part in asked if not part.startswith("--level")])
    opened = Run.open(out)
    v = opened.store.v("after")[:, -1]
    assert (v > -np.log(3)).all()  # the largest of four logits
    assert "accuracy" not in (out / "report.html").read_text(encoding="utf-8")


def computing_own_network(source, pictures, tmp_path):
    """The arguments of compute for the network that a file `net.py` with this source builds."""
    net = tmp_path / "net.py"
    net.write_text(f"from torch import nn\nclasses = ['bag', 'shoe']\n{source}\n", encoding="utf-8")
    model, inputs = f"--model={net}:build", f"--data={pictures / 'classes'}"
    return ["compute", model, "--checkpoint=random", inputs, "--inputs=4", "--players=grid:2x2"]


def test_an_own_network(pictures, tmp_path, capsys):
    source = (
        "preprocess = {'size': [28, 28], 'channels': 1}\n"
        "def build(): return nn.Sequential(nn.Flatten(), nn.Linear(784, 2))"
    )
    out = tmp_path / "run"
    arguments = computing_own_network(source, pictures, tmp_path)
    main([*arguments, "--baseline=blur", "--method=and", f"--out={out}"])
    found = Run.open(out).interactions["network"]
    # Two classes and one linear layer: the log-odds are linear, and every interaction has order one.
    strength = found.strength().sum((0, 1, 2))
    assert strength[2:].sum() < 1e-4 * strength[1]
    assert sorted(Run.open(out).store.settings["labels"]) == ["bag", "bag", "shoe", "shoe"]
    main(["show", str(out)])


def test_a_failing_own_network(pictures, tmp_path, refused):
    source = "def build(): return nn.Sequential(nn.Flatten(), nn.Linear(5, 2))"
    said = refused(*computing_own_network(source, pictures, tmp_path), f"--out={tmp_path / 'run'}")
    assert "cannot compute log_odds on these inputs (mat1 and mat2 shapes" in said


@pytest.mark.usefixtures("no_pixels")
@pytest.mark.parametrize(
    "more",
    [
        ["--players=words:3"],
        ["--players=tokens:4", "--baseline=embedding_zeros"],
        ["--players=words:3", "--baseline=unattended", "--plan=drop"],
        ["--players=words:3", "--stop-words", "the", "dog", "--baseline=pad_token"],
        ["--players=tokens:3", "--layer=bert.embeddings"],
    ],
)
def test_sentences(more, berts, tmp_path, capsys):
    out = tmp_path / "run"
    named = [f"--{name}={berts / name}" for name in ("before", "after")]
    table = [f"--data={berts / 'questions.csv'}", "--text-column=question", "--label-columns", "verdict"]
    main(
        [
            "compare",
            f"--model=transformers:{berts / 'before'}",
            *named,
            *table,
            "--inputs=4",
            f"--out={out}",
            *more,
        ]
    )
    opened = Run.open(out)
    assert opened.store.v("after").shape[0] == 4
    assert {path.name for path in out.iterdir()} >= WRITTEN
    words = [word for word, player in opened.store.settings["sentences"][0] if player >= 0]
    assert len(words) == opened.store.n
    assert not {"the", "dog"} & set(words) or "--stop-words" not in more
    for what in ("top", "change"):
        main(["show", str(out), "--what", what])
    main(["compute", f"--model=transformers:{berts / 'before'}", f"--checkpoint={berts / 'before'}", *table,
          "--inputs=4", f"--out={tmp_path / 'one'}", *more])  # fmt: skip
    one = Run.open(tmp_path / "one")
    assert torch.equal(one.store.v("network"), opened.store.v("before"))


def test_tokens_of_a_network_without_a_mask_token(berts, refused, tmp_path):
    from tests import text_networks

    tokenizer = text_networks.tokenizer(tmp_path / "words")
    tokenizer.mask_token = None
    text_networks.save_bert(tmp_path / "bert", tokenizer)
    said = refused(
        "compute",
        f"--model=transformers:{tmp_path / 'bert'}",
        f"--checkpoint={tmp_path / 'bert'}",
        f"--data={berts / 'questions.csv'}",
        "--text-column=question",
        "--label-columns=verdict",
        "--inputs=2",
        "--players=words:3",
        f"--out={tmp_path / 'run'}",
    )
    assert "the tokenizer has no mask_token; use --baseline pad_token or embedding_zeros" in said


@pytest.mark.usefixtures("no_pixels")
def test_networks_that_answer_more_than_the_data_asks(checkpoints, pictures, tmp_path):
    """Two networks with the same classes are compared as they are, without read-outs."""
    main(comparison(checkpoints, tmp_path / "run", f"--data={pictures / 'classes'}", "--level=label"))
    assert "read-out" not in (tmp_path / "run/report.html").read_text(encoding="utf-8")


SLOWED = """
import time, harsanyi.interactions.game.masked_model as model
scores = model.MaskedModel.scores
def slowly(self, *asked):
    time.sleep(0.15)
    return scores(self, *asked)
model.MaskedModel.scores = slowly
from harsanyi.analyses.command.cli import main
main()
"""


@pytest.mark.slow
def test_a_killed_comparison_goes_on_where_it_stopped(checkpoints, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    few = ("--inputs=12", "--batch-size=8")
    main(comparison(checkpoints, whole, *few))
    command = [sys.executable, "-c", SLOWED, *comparison(checkpoints, cut, *few)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, env=os.environ)
    try:
        finished = 0
        while not 3 <= finished < 24:
            assert process.poll() is None
            time.sleep(0.05)
            finished = done(cut)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = done(cut)
    assert 3 <= kept < 24
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        from harsanyi.interactions.game.masked_model import MaskedModel

        scores = MaskedModel.scores

        def counted(self, games, coalitions):
            asked.extend(games.tolist())
            return scores(self, games, coalitions)

        patch.setattr(MaskedModel, "scores", counted)
        main(["compare", str(cut / "study.toml")])
    # And the trial of each network, and the 16 forwards that say how long it will take.
    assert len(asked) == (24 - kept) * 16 + 2 + 16
    for name in ("change.csv", "values.h5"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()


def done(folder: Path) -> int:
    """Games that are done, of both networks."""
    try:
        with h5py.File(folder / "values.h5", locking=False) as file:
            return sum(int(flags[()].sum()) for flags in file["done"].values())
    except OSError:
        return 0
