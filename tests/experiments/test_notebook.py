"""The notebook: as committed, and run from top to bottom on tiny files."""

import gzip
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_idx

from lab.data import files, load

FILE = Path(__file__).parents[2] / "experiments" / "fashion.ipynb"
PICTURES = 6
SECTIONS = [
    "Overview",
    "Setup",
    "Load and prepare the data",
    "Define the hyperparameters",
    "Define the model and how it is trained",
    "Train without CLR",
    "Define the CLR schedule",
    "Train with CLR",
    "Plot the losses",
    "Find the bounds: the range test",
    "Train with CLR and its bounds",
    "When to use it",
]


def code_cells(notebook: dict) -> list[dict]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def pictures(notebook: dict) -> list[str]:
    outputs = [out for cell in code_cells(notebook) for out in cell["outputs"]]
    return [
        out["data"]["image/png"]
        for out in outputs
        if "image/png" in out.get("data", {})
    ]


def brighten(folder: Path) -> None:
    """Gives each class its own brightness, which a range test can see being learned."""
    for prefix in ("train", "t10k"):
        images = folder / f"{prefix}-images-idx3-ubyte.gz"
        labels = folder / f"{prefix}-labels-idx1-ubyte.gz"
        raw = gzip.decompress(images.read_bytes())
        pixels = np.frombuffer(raw[16:], np.uint8).reshape(-1, 28 * 28)
        classes = np.frombuffer(gzip.decompress(labels.read_bytes())[8:], np.uint8)
        bright = pixels // 8 + 22 * classes[:, None]
        images.write_bytes(gzip.compress(raw[:16] + bright.tobytes()))


def test_the_committed_notebook_was_run_from_top_to_bottom():
    notebook = json.loads(FILE.read_text())
    cells = code_cells(notebook)
    counts = [cell["execution_count"] for cell in cells]
    assert counts == list(range(1, len(cells) + 1))
    assert len(pictures(notebook)) == PICTURES
    assert FILE.stat().st_size < 500_000
    lines = [line for cell in notebook["cells"] for line in cell["source"]]
    headings = [line[3:].strip() for line in lines if line.startswith("## ")]
    assert headings == SECTIONS


def test_what_it_imports_is_there():
    """But for IPython, which is there wherever a notebook runs."""
    sources = [
        line
        for cell in code_cells(json.loads(FILE.read_text()))
        for line in cell["source"]
    ]
    imports = [line for line in sources if line.startswith(("import ", "from "))]
    imports = [line for line in imports if "IPython" not in line]
    assert len(imports) > 10
    exec("\n".join(imports), {})


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("nbclient") is None, reason="nbclient is not installed"
)
def test_the_notebook_runs(tmp_path, monkeypatch):
    import ipykernel_launcher
    import nbformat
    from nbclient import NotebookClient

    # a kernel for which the tiny files are the official ones
    launcher = [tiny_idx.__file__, str(tmp_path), ipykernel_launcher.__file__]
    argv = [sys.executable, *launcher, "-f", "{connection_file}"]
    kernel = tmp_path / "kernels" / "tiny"
    kernel.mkdir(parents=True)
    spec = {"argv": argv, "display_name": "tiny", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    tiny_idx.write(tmp_path, train=650, test=32)
    brighten(tmp_path)
    monkeypatch.setattr(files, "FILES", tiny_idx.files_in(tmp_path))
    load(tmp_path)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("EPOCHS", "1")

    notebook = nbformat.read(FILE, as_version=4)
    where = {"metadata": {"path": str(FILE.parent)}}
    NotebookClient(notebook, kernel_name="tiny", timeout=600, resources=where).execute()
    assert len(pictures(notebook)) == PICTURES
    printed = "".join(
        out["text"]
        for cell in code_cells(notebook)
        for out in cell["outputs"]
        if "text" in out
    )
    assert f"prepared copy in {tmp_path}" in printed
    assert printed.count("epoch 1/1  loss ") == 3
