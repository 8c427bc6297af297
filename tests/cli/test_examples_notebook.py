"""`examples/first_steps.ipynb` runs in a real kernel as it stands, and its model learns what it is taught."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "first_steps.ipynb"


def test_it_is_committed_without_what_a_run_leaves() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)


@pytest.mark.timeout(300)
def test_its_cells_run_in_order_and_the_model_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))
    for name in ("TINKER_BASE_URL", "TINKER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute(cwd=str(tmp_path))
    shown = [_shown(cell) for cell in notebook.cells if cell.cell_type == "code"]
    first, last = (float(loss) for loss in shown[2].strip("'").split(" -> "))
    assert last < 0.1 * first
    assert "image/png" in shown[3]
    assert shown[4].strip("'").startswith(" purple")
    assert shown[0].startswith("GetInfoResponse(")


def _shown(cell: nbformat.NotebookNode) -> str:
    """What a cell shows last: its value as text, or the kinds of its picture."""
    for output in reversed(cell.outputs):
        if output.output_type == "error":
            return str(output.evalue)
        if output.output_type == "display_data":
            return " ".join(output.data)
        if output.output_type == "execute_result":
            return str(output.data["text/plain"])
    return ""
