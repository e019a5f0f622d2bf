"""The same rate in every mesh; `test_clr_again.py` runs this on four devices."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from clr_core import clr

MODES = ["triangular", "triangular2", "exp_range"]


def meshes():
    """Returns meshes over all or some devices, the last of them not explicit."""
    devices = np.array(jax.devices())
    grids = [(devices, "x"), (devices.reshape(2, 2), "xy"), (devices[::-1], "x")]
    grids += [(devices[2:], "x"), (devices[:1], "z"), (devices, "x")]
    kinds = [AxisType.Explicit] * 5 + [AxisType.Auto]
    return [
        jax.sharding.Mesh(grid, tuple(names), (kind,) * grid.ndim)
        for (grid, names), kind in zip(grids, kinds, strict=True)
    ]


NO_MESH = jax.make_mesh((), (), axis_types=())
TOPS = itertools.count(0.625, 0.5)
OPTIONS = [{}, {"step_size_down": 4, "mode": "exp_range"}]
OPTIONS += [{"scale_fn": lambda cycle: 1.0}, {"cycle_mult": 3}]


def fresh(**options):
    """Returns a rate that nobody asked for before, as a function, and its value."""
    top = next(TOPS)
    return functools.partial(clr, 5, 0.125, top, 4, **options), 0.75 * top + 0.03125


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_python_step_is_at_home_in_every_mesh(options):
    for first in meshes():
        rate, want = fresh(**options)
        for mesh in (first, *meshes()):
            with jax.set_mesh(mesh):
                assert rate() == want
        assert rate() == want


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_python_step_is_at_home_in_jit_in_every_mesh(options):
    rate, want = fresh(**options)
    for mesh in (*meshes(), meshes()[0]):
        with jax.set_mesh(mesh):
            assert jax.jit(lambda x: rate() * x)(2.0) == 2 * want
            assert rate() == want
    assert jax.jit(lambda x: rate() * x)(2.0) == 2 * want


def test_the_rate_lives_where_the_mesh_is():
    rate, _ = fresh()
    for mesh in meshes():
        with jax.set_mesh(mesh):
            assert rate().sharding.device_set == set(mesh.devices.flat)
    for device in (*jax.devices(), jax.devices()[0]):
        with jax.default_device(device):
            assert rate().devices() == {device}


def test_the_rate_is_right_inside_shard_map():
    rate, want = fresh()
    for mesh in (meshes()[0], meshes()[2], meshes()[5]):
        spec = jax.P("x")
        with jax.set_mesh(mesh):
            ones = jax.device_put(np.ones(4), jax.NamedSharding(mesh, spec))
            scaled = jax.shard_map(
                lambda x: rate() * x, mesh=mesh, in_specs=spec, out_specs=spec
            )
            assert jax.jit(scaled)(ones).tolist() == [want] * 4
            assert rate() == want


@pytest.mark.parametrize("mult", [1, 3])
@pytest.mark.parametrize("mode", MODES)
def test_sharded_steps_give_sharded_rates(mode, mult):
    def rates(steps):
        return clr(steps, 0.125, 0.625, 4, cycle_mult=mult, mode=mode, gamma=0.5)

    steps = np.arange(8) * mult
    want = np.asarray(rates(steps))
    for mesh in meshes()[:3]:
        sharding = jax.NamedSharding(mesh, jax.P("x"))
        with jax.set_mesh(mesh):
            got = rates(jax.device_put(steps, sharding))
            assert got.sharding.is_equivalent_to(sharding, 1)
            np.testing.assert_array_equal(got, want)


def test_gradients_reach_the_bounds_in_every_mesh():
    slope = jax.value_and_grad(lambda top: clr(5, 0.125, top, 4))
    for mesh in meshes():
        with jax.set_mesh(mesh):
            assert jax.jit(slope)(0.625) == (0.5, 0.75)


def test_settings_may_change_between_calls():
    rate, want = fresh()
    for mesh in (None, *meshes()[:2], None):
        for x64 in (False, True, False):
            with jax.set_mesh(mesh or NO_MESH), jax.enable_x64(x64):
                assert rate() == want
                assert rate().dtype == jnp.float32
                assert jax.jit(lambda x: rate() + x)(0.0) == want
    jax.clear_caches()
    assert rate() == want
    with jax.disable_jit():
        assert rate() == want
