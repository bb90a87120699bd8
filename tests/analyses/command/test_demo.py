"""The demo: every epoch is on disk, the summary says what the table holds, and a second run reuses all."""

from pathlib import Path

import pytest

from harsanyi.analyses import read_table
from harsanyi.analyses.command import demo as module
from harsanyi.analyses.command.cli import main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demonstrated(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "out"
    main(["demo", f"--out={out}"])
    return out


def test_every_epoch_is_on_disk(demonstrated):
    for name, epochs in module.EPOCHS.items():
        series = sorted(path.name for path in (demonstrated / "checkpoints" / name).glob("*.safetensors"))
        assert series == [f"epoch-{epoch:03d}.safetensors" for epoch in range(epochs + 1)]
    assert (demonstrated / "comparison/report.html").stat().st_size > 100_000


def test_a_second_run_reuses_everything_and_says_what_the_table_holds(demonstrated, capsys):
    files = [
        path for path in sorted(demonstrated.rglob("*")) if path.suffix in (".safetensors", ".h5", ".csv")
    ]
    before = {path: path.read_bytes() for path in files}
    kept = [*demonstrated.rglob("*.safetensors"), demonstrated / "comparison/values.h5"]
    written = {path: path.stat().st_mtime_ns for path in kept}
    capsys.readouterr()
    main(["demo", f"--out={demonstrated}"])
    summary = capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in written} == written
    csv = demonstrated / "comparison/change.csv"
    assert csv.read_bytes() == before[csv]
    table = read_table(demonstrated / "comparison/change.h5")
    whole = table.query("kind == 'both' and sign == 'both' and order == 'all'").set_index("quantity")
    for quantity in ("preserved_share", "discarded_share", "new_share", "scratch_share"):
        row = whole.loc[quantity]
        assert f"{row.value:.0%} [{row.low:.0%}, {row.high:.0%}]" in summary
    assert whole.loc["preserved_share"].games == module.INPUTS
