"""What the programs do alike: errors, exit codes, results whole or not at all."""

import errno
import os
import re
import shutil
import tempfile
from pathlib import Path

import jax
import pytest

import battery
import benchmark
import comparison
import fashion
import transformer
from lab import LabError, program
from lab.data import DataError

PROGRAMS = [fashion, comparison, transformer, battery, benchmark]
OWN = [LabError, DataError]
ONE_LINE = [
    *(kind("what to do") for kind in OWN),
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    PermissionError(errno.EACCES, os.strerror(errno.EACCES), "file"),
    jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory"),
    jax.errors.JaxRuntimeError("UNAVAILABLE: a device is lost"),
]
MISTAKES = [
    *(kind("") for kind in (ValueError, TypeError, KeyError, RuntimeError, OSError)),
    FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "file"),
    jax.errors.JaxRuntimeError("INTERNAL: something else"),
]


def raising(error):
    def run(*_, **__):
        raise error

    return run


def stop(monkeypatch, module, error):
    """Lets a program raise in the place of its run."""
    where = module if hasattr(module, "run") else program.Experiment
    monkeypatch.setattr(where, "run", raising(error))


@pytest.mark.parametrize("module", PROGRAMS, ids=lambda module: module.__name__)
@pytest.mark.parametrize("error", ONE_LINE, ids=repr)
def test_every_program_ends_on_what_can_be_mended_with_one_line_and_code_1(
    monkeypatch, capsys, tmp_path, module, error
):
    stop(monkeypatch, module, error)
    assert module.main(["--out", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert printed.err == f"{module.__name__}.py: {error}\n"
    assert printed.out == ""


@pytest.mark.parametrize("module", PROGRAMS, ids=lambda module: module.__name__)
def test_every_program_ends_on_ctrl_c_with_one_line_and_code_130(
    monkeypatch, capsys, tmp_path, module
):
    stop(monkeypatch, module, KeyboardInterrupt())
    assert module.main(["--out", str(tmp_path)]) == 130
    printed = capsys.readouterr().err
    assert printed.startswith(f"{module.__name__}.py: interrupted")
    assert printed.count("\n") == 1


@pytest.mark.parametrize("module", PROGRAMS, ids=lambda module: module.__name__)
def test_every_help_teaches_in_80_columns(monkeypatch, capsys, module):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        module.main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "examples:" in printed
    assert "exit codes:" in printed
    assert [line for line in printed.splitlines() if len(line) > 79] == []


@pytest.mark.parametrize("module", [comparison, transformer, battery])
def test_the_help_says_where_the_protocol_is(module):
    path = module.protocol.__file__
    (named,) = re.findall(r"\S+/protocol\.py", module.__doc__)
    assert Path(path).samefile(Path(__file__).parents[3] / named)


@pytest.mark.parametrize("error", MISTAKES, ids=repr)
def test_a_mistake_in_the_code_is_not_hidden(error):
    with pytest.raises(type(error)):
        program.exit_code("x", raising(error), interrupted="")


@pytest.mark.parametrize("code", [0, 3])
def test_a_run_that_ends_gives_its_own_code(code):
    assert program.exit_code("x", lambda _: code, interrupted="") == code


@pytest.mark.parametrize(
    "error", [RuntimeError, ValueError, jax.errors.JaxRuntimeError]
)
def test_processes_that_cannot_be_joined_are_one_line(
    monkeypatch, capsys, tmp_path, error
):
    """Whatever JAX raises there: it documents nothing."""
    monkeypatch.setattr(jax.distributed, "initialize", raising(error("nobody came")))
    arguments = ["--coordinator", "h:1", "--num-processes", "2", "--process-id", "1"]
    assert fashion.main(["--out", str(tmp_path), *arguments]) == 1
    printed = capsys.readouterr().err
    assert printed == "fashion.py: the processes could not be joined: nobody came\n"


def test_auto_outside_a_cluster_says_what_to_give(monkeypatch, capsys, tmp_path):
    unset = ValueError("coordinator_address should be defined.")
    monkeypatch.setattr(jax.distributed, "initialize", raising(unset))
    assert fashion.main(["--out", str(tmp_path), "--coordinator", "auto"]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("fashion.py: --coordinator auto found no cluster")
    assert "give HOST:PORT" in printed
    assert printed.count("\n") == 1


REDRAWING = [fashion, comparison, transformer, battery]
ALL_DONE = '{"A": 1, "B": 1, "C": 1, "D": 1, "E": 1, "finished": true}'


@pytest.mark.parametrize("module", REDRAWING, ids=lambda module: module.__name__)
@pytest.mark.parametrize("text", ["{", "[]", "null", ALL_DONE])
def test_redrawing_what_is_not_ours_is_one_line(tmp_path, capsys, module, text):
    (tmp_path / f"{module.__name__}.json").write_text(text)
    assert module.main(["--redraw", "--out", str(tmp_path)]) == 1
    printed = capsys.readouterr().err
    assert f"{module.__name__}.json is not a results file" in printed
    assert "delete it and train again, or choose another --out" in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize("module", REDRAWING[:3], ids=lambda module: module.__name__)
def test_a_mistake_in_the_drawing_code_is_not_hidden(tmp_path, monkeypatch, module):
    results = Path(__file__).parents[3] / "experiments" / "results"
    name = module.__name__
    shutil.copy(results / name / f"{name}.json", tmp_path)
    for error in (KeyError, TypeError):
        monkeypatch.setattr(module, "draw_all", raising(error("a mistake")))
        with pytest.raises(error, match="a mistake"):
            module.main(["--redraw", "--out", str(tmp_path)])


@pytest.mark.parametrize("module", REDRAWING, ids=lambda module: module.__name__)
def test_redrawing_makes_no_folder(tmp_path, capsys, module):
    out = tmp_path / "typo"
    assert module.main(["--redraw", "--out", str(out)]) == 1
    assert "train first" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("module", REDRAWING, ids=lambda module: module.__name__)
def test_resuming_and_redrawing_exclude_each_other(capsys, module):
    with pytest.raises(SystemExit) as ended:
        module.main(["--resume", "--redraw"])
    assert ended.value.code == 2
    assert "not allowed with argument --resume" in capsys.readouterr().err


@pytest.mark.parametrize("module", PROGRAMS, ids=lambda module: module.__name__)
def test_a_folder_that_cannot_be_had_is_told_by_its_name(tmp_path, capsys, module):
    out = tmp_path / "file"
    out.touch()
    assert module.main(["--out", str(out)]) == 1
    printed = capsys.readouterr().err
    expected = f"--out {out} could not be written (File exists)"
    assert printed == f"{module.__name__}.py: {expected}\n"


def test_a_folder_that_is_read_only_is_told_by_its_name(tmp_path, monkeypatch):
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "tmp1234")
    monkeypatch.setattr(tempfile, "TemporaryFile", raising(denied))
    with pytest.raises(LabError) as error:
        program.open_folder(tmp_path)
    told = f"--out {tmp_path} could not be written (Permission denied)"
    assert str(error.value) == told


def test_a_path_with_brackets_is_printed_as_it_is(capsys):
    def run(console):
        console.print("[bold]/:smile:")
        return 0

    program.exit_code("x", run, interrupted="")
    assert capsys.readouterr().out == "[bold]/:smile:\n"
