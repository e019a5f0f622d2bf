"""Where arrays lie: on one device, or spread over the mesh of several."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from clr_optax._types import PyTree

Arrays = list[jax.Array]
Devices = Mesh | AbstractMesh | None
Shardings = tuple[NamedSharding | None, ...]


def mesh_of(tree: PyTree) -> Devices:
    """Returns the mesh of the first array on several devices, None without one."""
    for leaf in jax.tree.leaves(tree):
        sharding = _several(leaf)
        if sharding is not None:
            return sharding.mesh
    return None


def on_mesh(mesh: Devices, tree: PyTree) -> PyTree:
    """Returns the arrays on the devices of a mesh, whole on each if they were not."""
    if mesh is None:
        return tree
    whole = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(
        lambda leaf: jax.device_put(leaf, whole) if _several(leaf) is None else leaf,
        tree,
    )


def made_on_mesh(
    mesh: Devices, make: Callable[..., PyTree], *arguments: PyTree
) -> PyTree:
    """Returns what a function makes of the arguments, on the devices of a mesh if any.

    Without a mesh it is compiled. With one it is run as it is, so that what it makes is
    sharded like what that is made of: inside ``jit`` XLA would choose.
    """
    if mesh is None:
        return jax.jit(make)(*arguments)
    return on_mesh(mesh, make(*arguments))


def zeros_like_each(mesh: Devices, length: int, y: jax.ShapeDtypeStruct) -> jax.Array:
    """Returns zeros to hold that many arrays like y, spread as they are."""
    zeros = jnp.zeros((length, *y.shape), y.dtype)
    if mesh is None:
        return zeros
    spec = getattr(y.sharding, "spec", ())
    spread = NamedSharding(mesh, PartitionSpec(None, *spec))
    placed: jax.Array = jax.device_put(zeros, spread)
    return placed


def shardings_of(leaves: Arrays) -> Shardings:
    """Returns how each array is sharded, None where XLA could not change it."""
    found = [_several(leaf) for leaf in leaves]
    return tuple(
        sharding if sharding and AxisType.Auto in sharding.mesh.axis_types else None
        for sharding in found
    )


def keep_shardings(leaves: Arrays, shardings: Shardings) -> Arrays:
    """Returns the arrays of a program with those shardings."""
    constrained: Callable[..., jax.Array] = jax.lax.with_sharding_constraint
    return [
        leaf if sharding is None else constrained(leaf, sharding)
        for leaf, sharding in zip(leaves, shardings, strict=True)
    ]


def _several(leaf: Any) -> NamedSharding | None:
    """Returns the sharding of an array over several devices, None of any other."""
    if isinstance(leaf, jax.core.Tracer):
        return None
    sharding = getattr(leaf, "sharding", None)
    several = isinstance(sharding, NamedSharding) and sharding.mesh.size > 1
    return sharding if several else None
