"""The benchmark's command line; what it measures is not for tests."""

import pytest

import benchmark


def test_a_bad_folder_is_an_error_before_anything_is_measured(tmp_path, capsys):
    missing, out = str(tmp_path / "none"), str(tmp_path / "out")
    assert benchmark.main(["--data-dir", missing, "--out", out]) == 1
    said = capsys.readouterr()
    assert "benchmark.py: load needs Fashion-MNIST's four files" in said.err
    assert f"IDX files in {missing}: " in said.err
    assert "schedule" not in said.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "-1"], "--steps: needs 5 to 2**31 - 1, got -1"),
        (["--steps", "4"], "--steps: needs 5 to 2**31 - 1, got 4"),
        (["--steps", str(2**31)], "--steps: needs 5 to 2**31 - 1, got 2147483648"),
        (["--rounds", "0"], "--rounds: needs a whole number from 1 to 2**31 - 1"),
        (["--peer-python", "no_such"], "--peer-python: no such program: no_such"),
    ],
)
def test_wrong_arguments_are_told_at_once(arguments, message, capsys):
    with pytest.raises(SystemExit) as exit_of:
        benchmark.main(arguments)
    assert exit_of.value.code == 2
    assert message in capsys.readouterr().err
