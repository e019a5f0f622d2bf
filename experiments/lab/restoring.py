"""Arrays read back from a checkpoint by Orbax, which may be damaged."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp


def restored(folder: Path, like: Any) -> Any:
    """The state in a folder, in the shapes and shardings of `like`."""
    registry = ocp.type_handlers.create_type_handler_registry(
        (jax.Array, _PatientReader())
    )
    handler = ocp.PyTreeCheckpointHandler(type_handler_registry=registry)
    shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    arguments = ocp.checkpoint_utils.construct_restore_args(shapes)
    restore = ocp.args.PyTreeRestore(item=shapes, restore_args=arguments)
    with contextlib.closing(ocp.Checkpointer(handler)) as reader:
        return reader.restore(folder, args=restore)


class _PatientReader(ocp.type_handlers.ArrayHandler):
    """Reads arrays, and ends when all reads have ended.

    Orbax's own leaves the others under way when one fails, and closes their loop: each
    prints a traceback whenever it ends.
    """

    async def deserialize(
        self, infos: Sequence[Any], args: Sequence[Any] | None = None
    ) -> Sequence[jax.Array]:
        others = asyncio.all_tasks()
        try:
            arrays: Sequence[jax.Array] = await super().deserialize(infos, args)
            return arrays
        finally:
            reads = asyncio.all_tasks() - others
            await asyncio.gather(*reads, return_exceptions=True)
