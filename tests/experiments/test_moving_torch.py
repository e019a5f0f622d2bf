"""What experiments/RECIPES.md says about PyTorch's CyclicLR, shown on the real one."""

import inspect
import pickle

import pytest

import test_moving
from clr_core import clr
from clr_optax import clr_schedule

torch = pytest.importorskip("torch", reason="torch is not installed")


def cyclic_lr(base_lr=0.0, max_lr=1.0, step_size_up=2, **more):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1, momentum=0.5)
    more = {"cycle_momentum": False} | more
    cyclic = torch.optim.lr_scheduler.CyclicLR
    scheduler = cyclic(optimizer, base_lr, max_lr, step_size_up, **more)
    optimizer.step()  # PyTorch warns of schedulers that step before optimizers
    return scheduler


def test_the_table_has_all_its_arguments():
    parameters = inspect.signature(torch.optim.lr_scheduler.CyclicLR).parameters
    assert set(parameters) <= set(test_moving.TORCH.split())


def test_cyclic_lr_takes_half_a_cycle():
    peer = cyclic_lr(step_size_up=5)
    for _ in range(5):
        peer.step()
    assert peer.get_last_lr() == [1.0]


def test_cyclic_lr_allows_a_dip():
    peer = cyclic_lr(1.0, 0.0)
    peer.step()
    assert peer.get_last_lr() == [0.5]


@pytest.mark.parametrize("scale_mode", ["cycle", "iterations", "misspelt"])
def test_cyclic_lr_gives_its_scale_fn_the_same(scale_mode):
    seen = []
    peer = cyclic_lr(scale_fn=lambda x: seen.append(x) or 1.0, scale_mode=scale_mode)
    for _ in range(9):
        peer.step()
    assert seen == (
        [1, 1, 1, 1, 2, 2, 2, 2, 3, 3] if scale_mode == "cycle" else [*range(10)]
    )


def test_triangular2_never_overflows():
    peer = cyclic_lr(mode="triangular2", step_size_up=1)
    for _ in range(2 * 1024 - 1):
        peer.step()
    with pytest.raises(OverflowError):
        peer.step()
    assert float(clr(2 * 1025 + 1, 0.5, 1.0, 1, mode="triangular2")) == 0.5


def test_cyclic_lr_loses_a_lambda():
    saved = cyclic_lr(scale_fn=lambda cycle: 0.5)
    saved.step()
    assert saved.get_last_lr() == [0.25]
    loaded = cyclic_lr()
    loaded.load_state_dict(saved.state_dict())
    loaded.step()
    saved.step()
    assert saved.get_last_lr() == [0.5]
    assert loaded.get_last_lr() == [1.0]
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(saved)


def test_cyclic_lr_overwrites_momentum():
    group = cyclic_lr(cycle_momentum=True).optimizer.param_groups[0]
    assert group["momentum"] == 0.9
    assert cyclic_lr().optimizer.param_groups[0]["momentum"] == 0.5


def test_last_epoch_is_one_behind():
    group = {"params": [torch.zeros(1)], "initial_lr": 0.0}
    optimizer = torch.optim.SGD([group], lr=0.1)
    cyclic = torch.optim.lr_scheduler.CyclicLR
    peer = cyclic(optimizer, 0.0, 1.0, 8, cycle_momentum=False, last_epoch=6)
    assert peer.get_last_lr() == [float(clr_schedule(0, 1, 8)(7))] == [0.875]


def test_get_last_lr_is_the_next_rate():
    peer = cyclic_lr(step_size_up=4)  # one update is done
    peer.step()
    assert peer.get_last_lr() == [0.25] == [float(clr_schedule(0, 1, 4)(1))]
