"""How the arrays of a range test are spread over devices, and stay so."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

Shardings = tuple[NamedSharding | None, ...]


def mesh_of(tree: Any) -> Any:
    """Returns the mesh of the first array on several devices, None without one."""
    for leaf in jax.tree.leaves(tree):
        sharding = _several(leaf)
        if sharding is not None:
            return sharding.mesh
    return None


def on_mesh(mesh: Any, tree: Any) -> Any:
    """Returns the arrays on the devices of a mesh, whole on each if they were not."""
    if mesh is None:
        return tree
    everywhere: Any = PartitionSpec
    whole = NamedSharding(mesh, everywhere())
    return jax.tree.map(
        lambda leaf: jax.device_put(leaf, whole) if _several(leaf) is None else leaf,
        tree,
    )


def stacked_zeros(mesh: Any, length: int, y: Any) -> jax.Array:
    """Returns zeros to hold that many arrays like y, spread as they are."""
    zeros = jnp.zeros((length, *y.shape), y.dtype)
    if mesh is None:
        return zeros
    spread: Any = PartitionSpec
    spec = getattr(getattr(y, "sharding", None), "spec", ())
    placed: jax.Array = jax.device_put(zeros, NamedSharding(mesh, spread(None, *spec)))
    return placed


def shardings_of(tree: Any) -> Shardings:
    """Returns how each array is sharded, None where XLA need not be told."""
    return tuple(_implicit(_several(leaf)) for leaf in jax.tree.leaves(tree))


def keep_shardings(leaves: list[Any], shardings: Shardings) -> list[Any]:
    """Returns the arrays of a program with those shardings."""
    constrain: Any = jax.lax.with_sharding_constraint
    return [
        leaf if sharding is None else constrain(leaf, sharding)
        for leaf, sharding in zip(leaves, shardings, strict=True)
    ]


def _several(leaf: Any) -> NamedSharding | None:
    """Returns the sharding of an array over several devices, None of any other."""
    if isinstance(leaf, jax.core.Tracer):
        return None
    sharding = getattr(leaf, "sharding", None)
    several = isinstance(sharding, NamedSharding) and sharding.mesh.size > 1
    return sharding if several else None


def _implicit(sharding: NamedSharding | None) -> NamedSharding | None:
    """Returns a sharding that XLA could change, None for one in the arrays' types."""
    if sharding is None or AxisType.Auto not in sharding.mesh.axis_types:
        return None
    return sharding
