"""Checkpoints on small states: exact, and never taken for good when they are not."""

import gc
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import LabError
from lab.checkpoints import Checkpoints, earlier_results
from lab.saved import ResultsFile, write_json
from lab.training import Runs, State

SETTINGS = {"batch_size": 16, "arms": {"SGD": "optax.sgd(0.01)"}}


def runs(number):
    """Runs like none of another number, with values that rounding would change."""
    words = np.arange(6, dtype=np.uint32) * 0x01234567 + number
    weights = jnp.array(words.view(np.float32)).reshape(2, 3)
    special = jnp.array([[jnp.nan, -0.0, jnp.inf]] * 2, jnp.float32)
    counts = jnp.array([number, 2**31 - 1], jnp.int32)
    keys = jax.random.split(jax.random.key(number), 2)
    state = State({"weights": weights, "special": special}, {"count": counts}, keys)
    figures = np.full((2, number, 4), np.pi / max(1, number), np.float32)
    return Runs(figures, state, number / 3)


def content(runs):
    """All that runs are, as (dtype, shape, bytes)."""
    bare = runs.state._replace(rest=jax.random.key_data(runs.state.rest))
    leaves = map(np.asarray, jax.tree.leaves((runs.figures, bare, runs.seconds)))
    return [(leaf.dtype, leaf.shape, leaf.tobytes()) for leaf in leaves]


def same(restored, number):
    assert content(restored) == content(runs(number))


def open_(folder, **other):
    return Checkpoints(folder, SETTINGS | other)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder of a run of three stretches."""
    folder = tmp_path_factory.mktemp("written") / "checkpoints"
    saver = open_(folder)
    for number in (1, 2, 3):
        saver.save(runs(number))
    return folder


@pytest.fixture
def folder(written, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(written, tmp_path / "checkpoints")


def test_what_was_saved_comes_back_bit_for_bit(written, capsys):
    same(open_(written).latest(runs(0), 3), 3)
    assert capsys.readouterr().out == ""


def test_the_last_two_are_kept(written):
    assert sorted(path.name for path in written.iterdir()) == ["2", "3"]


def test_each_k_th_is_kept_for_good_and_can_be_had(tmp_path):
    saver = Checkpoints(tmp_path / "new", SETTINGS, keep_every=2)
    for number in range(1, 8):
        saver.save(runs(number))
    assert sorted(path.name for path in saver.folder.iterdir()) == ["2", "4", "6", "7"]
    same(saver.at(4, runs(0)), 4)
    with pytest.raises(LabError, match=r"checkpoint 3 .* choose another --out"):
        saver.at(3, runs(0))


def test_a_run_that_diverged_is_restored(tmp_path):
    """The NaN of a difference of infinities has other bits than NumPy's."""
    diverged = runs(2)
    diverged.figures.view(np.uint32)[1, 1] = 0xFFC00000
    assert np.isnan(diverged.figures).sum() == 4
    saver = open_(tmp_path / "new")
    saver.save(diverged)
    figures = saver.latest(runs(0), 3).figures
    np.testing.assert_array_equal(figures, diverged.figures)


def test_an_empty_folder_has_nothing_to_resume(tmp_path):
    assert open_(tmp_path / "new").latest(runs(0), 3) is None


@pytest.mark.parametrize("inner", ["", "stage"])
def test_a_file_in_the_folder_s_place_is_told_at_once(tmp_path, inner):
    file = tmp_path / "checkpoints"
    file.touch()
    with pytest.raises(LabError, match=r"remove what is there, or choose anoth"):
        open_(file / inner)


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0x10]) + content[middle + 1 :]


def halved(content):
    return content[: len(content) // 2]


@pytest.mark.slow
@pytest.mark.parametrize("damage", [flipped, halved])
def test_any_damaged_file_is_harmless_or_passed_over(folder, capfd, damage):
    """Whatever file goes bad, the result is a state that was saved, whole."""
    passed_over = 0
    files = [path for path in (folder / "3").rglob("*") if path.is_file()]
    for path in files:
        intact = path.read_bytes()
        path.write_bytes(damage(intact))
        restored = open_(folder).latest(runs(0), 3)
        gc.collect()  # reads that were left under way would complain now
        printed, complaints = capfd.readouterr()
        assert "Traceback" not in complaints
        if "Passing over checkpoint 3: " in printed:
            passed_over += 1
            assert printed.count("\n") == 1
            assert len(printed) < 400
            same(restored, 2)
        else:
            same(restored, 3)
        path.write_bytes(intact)
    assert passed_over >= 3


def test_a_half_written_checkpoint_is_passed_over(folder, capsys):
    (folder / "3").rename(folder / "3.orbax-checkpoint-tmp")
    same(open_(folder).latest(runs(0), 3), 2)
    assert capsys.readouterr().out == "Passing over checkpoint 3: it is half written\n"


@pytest.mark.parametrize("place", ["figures", *range(9)])
def test_one_bit_that_is_wrong_in_whole_files_is_noticed(
    folder, monkeypatch, capsys, place
):
    """In a figure or any column of the state, in files that Orbax takes for good."""
    saver = open_(folder)
    save = saver.manager.save

    def damaging(number, args):
        if place == "figures":
            args["about"].item["figures"][-1][-1][-1] += 2**-20
        else:
            words = np.array(args["state"].item["words"])
            words[-1, place] ^= 1 << 20
            args["state"].item["words"] = words
        return save(number, args=args)

    monkeypatch.setattr(saver.manager, "save", damaging)
    saver.save(runs(4))
    same(open_(folder).latest(runs(0), 4), 3)
    assert "checkpoint 4: its checksum is wrong" in capsys.readouterr().out
    with pytest.raises(LabError, match=r"checkpoint 4 .*its checksum is wrong"):
        open_(folder).at(4, runs(0))


def test_what_was_passed_over_is_written_again(folder):
    (folder / "3" / "about" / "metadata").write_text("{")
    saver = open_(folder)
    same(saver.latest(runs(0), 3), 2)
    saver.save(runs(3))
    same(open_(folder).latest(runs(0), 3), 3)


def test_a_run_with_all_checkpoints_damaged_starts_over(folder):
    for number in "23":
        shutil.rmtree(folder / number / "state")
    saver = open_(folder)
    assert saver.latest(runs(0), 3) is None
    saver.save(runs(1))
    same(open_(folder).latest(runs(0), 3), 1)


def test_other_settings_are_refused_by_name(folder):
    with pytest.raises(LabError, match=r"batch_size was 16, is 32\. Give the"):
        open_(folder, batch_size=32).latest(runs(0), 2)  # before more epochs
    with pytest.raises(LabError, match="seeds was None, is 5; size was"):
        open_(folder, seeds=5, size=1).latest(runs(0), 3)


def test_more_epochs_than_asked_for_are_refused(folder):
    with pytest.raises(LabError, match="has 3 epochs done, more than --epochs 2"):
        open_(folder).latest(runs(0), 2)


def test_a_vanished_folder_is_an_error(folder):
    saver = open_(folder)
    shutil.rmtree(folder)
    with pytest.raises(LabError, match=r"checkpoint 4 could not be written .*vanished"):
        saver.save(runs(4))
    assert not folder.exists()


def test_ctrl_c_waits_until_a_checkpoint_is_whole(folder, monkeypatch):
    saver = open_(folder)
    save = saver.manager.save

    def interrupted(*arguments, **named):
        signal.raise_signal(signal.SIGINT)
        return save(*arguments, **named)

    monkeypatch.setattr(saver.manager, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        saver.save(runs(4))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    same(open_(folder).latest(runs(0), 4), 4)


FILE = ResultsFile("run.json", "settings", lambda results: "done" in results)


@pytest.mark.parametrize("done", [True, False])
def test_only_a_finished_run_makes_room_for_a_new_one(folder, done):
    out = folder.parent
    write_json(out / "run.json", {"settings": 1} | ({"done": 1} if done else {}))
    if done:
        assert earlier_results(FILE, out, {"settings": 2}, resume=False) == {}
    else:
        with pytest.raises(LabError, match="is not finished: continue it with --resum"):
            earlier_results(FILE, out, {"settings": 1}, resume=False)
    assert folder.exists() == (not done)


def test_checkpoints_of_another_program_are_left_alone(tmp_path):
    (tmp_path / "checkpoints" / "empty").mkdir(parents=True)  # as after an early stop
    assert earlier_results(FILE, tmp_path, {}, resume=False) == {}
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "theirs").write_text("")
    with pytest.raises(LabError, match=r"of another run, without run\.json: choose an"):
        earlier_results(FILE, tmp_path, {}, resume=False)
    assert (tmp_path / "checkpoints" / "theirs").exists()


def test_a_run_is_gone_on_with_if_it_is_of_the_same_settings(folder):
    out = folder.parent
    assert earlier_results(FILE, out, {"settings": 1}, resume=True) == {}
    write_json(out / "run.json", {"settings": 1})
    assert earlier_results(FILE, out, {"settings": 1}, resume=True) == {"settings": 1}
    with pytest.raises(LabError, match=r"run\.json is of other settings: 1, here 2"):
        earlier_results(FILE, out, {"settings": 2}, resume=True)
    assert folder.exists()
