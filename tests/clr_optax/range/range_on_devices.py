"""Range tests on all devices of one or more processes, compared to one device.

python range_on_devices.py [COORDINATOR NUMBER_OF_PROCESSES PROCESS_ID]

The environment says how many devices a process has: JAX_NUM_CPU_DEVICES.
"""

import functools
import sys

import jax
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from range_problems import convolution, problem, regression

import clr_optax._range.run
from clr_optax import lr_range_test


def counting(loss_fn):
    """The loss, with a state that counts the batches."""

    def with_state(params, state, batch):
        return loss_fn(params, batch), {"batches": state["batches"] + 1}

    return with_state


def spread(mesh, tree, *axes):
    """The arrays of each process as parts of arrays over all devices."""
    sharding = NamedSharding(mesh, P(*axes))
    return jax.tree.map(
        lambda a: jax.make_array_from_callback(
            a.shape, sharding, lambda index: np.asarray(a)[index]
        ),
        tree,
    )


def watch_carries():
    """A list that gets the first and the last carry of each range test."""
    carries, iterate = [], clr_optax._range.run.iterate

    def watched(function, step, starts, *rest):
        before = [jax.tree.map(lambda a: a.sharding, carry) for carry, _ in starts]
        runs = iterate(function, step, starts, *rest)
        carries.extend(zip(before, [run.carry for run in runs], strict=True))
        return runs

    clr_optax._range.run.iterate = watched
    return carries


def check_sharding(before, carry, params):
    """Nothing moved, and Adam's moments are where their params are."""
    for was, now in zip(jax.tree.leaves(before), jax.tree.leaves(carry), strict=True):
        assert was.is_equivalent_to(now.sharding, now.ndim)
    adam = carry.opt_state[0]
    for part in (carry.params, adam.mu, adam.nu):
        for name, leaf in part.items():
            if isinstance(params[name], jax.Array):
                assert leaf.sharding.is_equivalent_to(params[name].sharding, leaf.ndim)
            else:
                assert leaf.is_fully_replicated


def check_nothing_given_is_donated(mesh):
    """An optimizer may close over arrays, and hand them on as its state."""
    params, batches = problem()
    params, momentum = spread(mesh, (params, np.float32(0.9)))
    optimizer = optax.inject_hyperparams(optax.sgd)
    lr_range_test(
        regression,
        params,
        batches,
        max_lr=0.1,
        num_steps=20,
        optimizer=lambda rate: optimizer(rate, momentum=momentum),
    )
    assert not any(leaf.is_deleted() for leaf in (momentum, *params.values()))


def raising_above(most, mesh):
    """The loss, which raises on each of the devices where it is above that."""

    def check(loss):
        if loss > most:
            raise ArithmeticError("diverged here")
        return loss

    def checked(loss):
        seen = jax.pure_callback(check, loss, jax.lax.stop_gradient(loss))
        return loss + 0 * seen

    everywhere = jax.shard_map(
        checked, mesh=mesh, in_specs=P(), out_specs=P(), check_vma=False
    )
    return lambda params, batch: everywhere(regression(params, batch))


def check_what_raises(mesh):
    """What was measured before a loss raised comes back, an error without any."""
    params, batches = jax.device_get(problem(wide=(8, 8)))
    sharded = {name: spread(mesh, a, "data") for name, a in params.items()}
    stacked = spread(mesh, batches, None, "data")
    rows = [jax.tree.map(lambda a, i=i: a[i], batches) for i in range(3)]
    whole = lr_range_test(regression, params, batches, stop_factor=None)
    most = float(whole.losses[:50].max()) * 1.1
    place = int((whole.losses > most).argmax())
    for given in (stacked, [spread(mesh, row, "data") for row in rows]):
        test = lr_range_test(
            raising_above(most, mesh), sharded, given, stop_factor=None
        )
        assert test.num_finite == place > 10
        assert test.raised.lr == test.lrs[place]
        assert test.raised.text == "ArithmeticError: diverged here"
        np.testing.assert_allclose(test.losses[:place], whole.losses[:place], rtol=1e-4)
        with pytest.raises(Exception, match="diverged here") as raised:
            lr_range_test(raising_above(0, mesh), sharded, given)
        assert "raised this at step 0" in "".join(raised.value.__notes__)


def main(several=()):
    if several:
        coordinator, number, process = several
        jax.distributed.initialize(coordinator, int(number), int(process))
    mesh = Mesh(np.array(jax.devices()), "data")
    assert mesh.size == 4
    check_nothing_given_is_donated(mesh)
    if jax.process_count() == 1:  # of several, the one that raises ends the others
        check_what_raises(mesh)
    carries = watch_carries()
    for loss_fn, wide, accumulate in ((regression, (8, 8), 2), (convolution, (16,), 1)):
        params, batches = jax.device_get(problem(wide=wide))
        test = functools.partial(
            lr_range_test,
            counting(loss_fn),
            state={"batches": np.int32(0)},
            max_lr=0.1,
            num_steps=20,
            optimizer=optax.adam,
            accumulate=accumulate,
        )
        losses = test(params, batches).losses
        rows = [jax.tree.map(lambda a, i=i: a[i], batches) for i in range(3)]
        stacked = spread(mesh, batches, None, "data")
        sharded = {name: spread(mesh, a, "data") for name, a in params.items()}
        for given, start in (
            (stacked, sharded),
            ([spread(mesh, row, "data") for row in rows], sharded),
            (rows, sharded),
            (stacked, params),
        ):
            np.testing.assert_allclose(test(start, given).losses, losses, rtol=1e-5)
            before, carry = carries[-1]
            assert carry.state["batches"] == 20 * accumulate
            check_sharding(before, carry, start)


if __name__ == "__main__":
    main(sys.argv[1:])
