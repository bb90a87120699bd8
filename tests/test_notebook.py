"""What a notebook shows: figures and pages without further words, executed by nbclient."""

import base64

import nbformat
import pytest
from nbclient import NotebookClient

SETUP = """
import torch, harsanyi as hs
from harsanyi.interactions import About, And, extract
v = torch.rand(2, 3, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
before, after = (extract(table, And(), about=About(unit="nats")) for table in v)
net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 81, 4))
"""
CELLS = {
    "plot": "hs.plot_strength_by_order(hs.compare(before, after))",
    "plot in a loop": "for game in range(2): hs.plot_matching(before, game)",
    "shares": "hs.plot_shares(hs.compare(before, after).table());",
    "page": "before",
    "explanation": "hs.explain(net, torch.rand(1, 3, 9, 9), method=And())",
    "drawing": "hs.explain(net, torch.rand(1, 3, 9, 9), method=And()).plot()",
}


@pytest.fixture(scope="module")
def outputs():
    """What each cell of a notebook shows."""
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in (SETUP, *CELLS.values())]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MPLBACKEND", raising=False)  # the kernel chooses its own
        NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return {name: cell.outputs for name, cell in zip(CELLS, notebook.cells[1:], strict=True)}


def pictures(shown):
    return [one.data["image/png"] for one in shown if "image/png" in one.get("data", {})]


def pages(shown):
    return "".join(one.data["text/html"] for one in shown if "text/html" in one.get("data", {}))


@pytest.mark.parametrize(("name", "count"), [("plot", 1), ("plot in a loop", 2), ("shares", 1)])
def test_plots_are_shown(outputs, name, count):
    found = pictures(outputs[name])
    assert len(found) == count
    assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture in found)


def test_results_are_pages(outputs):
    assert "3 games of 3 players" in pages(outputs["page"])


@pytest.mark.parametrize("name", ["explanation", "drawing"])
def test_pictures_of_inputs_are_shown(outputs, name):
    assert "data:image/png;base64,iVBOR" in pages(outputs[name])
