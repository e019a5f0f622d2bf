"""The tutorial's two convolution-and-pool layers, in a form that is fast on a CPU.

Both functions return what `nnx.max_pool(convolution, (2, 2), (2, 2))` returns, without
bias: with x of shape (n, h, w, c) and a 5x5 kernel of shape (5, 5, c, o), "valid"
padding, the result has shape (n, (h - 4) / 2, (w - 4) / 2, o). Inside, the batch is the
last axis, so that every copy and every comparison runs over contiguous memory, and all
arithmetic is matrix products: XLA for CPU runs a real convolution within a compiled
loop about twelve times slower than outside one, and a matrix product at full speed.
`tests/experiments/lab/test_layers.py` holds both against the plain Flax layers, values
and gradients.
"""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray


@jax.custom_vjp
def max_of_four(y: jax.Array) -> jax.Array:
    """The maximum over the leading axis, of length 4; ties send gradient to the first.

    The gradient that JAX derives for a maximum shares it out among ties, in passes over
    memory that cost more than the layer's matrix products.
    """
    return y.max(axis=0)


def _max_forward(y: jax.Array) -> tuple[jax.Array, jax.Array]:
    return y.max(axis=0), jnp.argmax(y, axis=0).astype(jnp.int8)


def _max_backward(winner: jax.Array, g: jax.Array) -> tuple[jax.Array]:
    position = jnp.arange(4, dtype=jnp.int8).reshape(4, *[1] * g.ndim)
    return (jnp.where(position == winner, g, 0),)


max_of_four.defvjp(_max_forward, _max_backward)


def conv_pool_by_patches(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """For few input channels: one product that computes the four pooling positions.

    A 6x6 patch holds all that one pooled output depends on. The kernel, placed at the
    four offsets within the patch, gives the four candidates as 4 * o output rows.
    """
    n, h, w, c = x.shape
    o = kernel.shape[-1]
    rows, columns = (h - 4) // 2, (w - 4) // 2
    # split rows and columns by parity: every patch element is then a plain slice
    parity = x.transpose(1, 2, 3, 0).reshape(h // 2, 2, w // 2, 2, c, n)
    patches = jnp.stack(
        [
            parity[i // 2 : i // 2 + rows, i % 2, j // 2 : j // 2 + columns, j % 2]
            for i in range(6)
            for j in range(6)
        ]
    )  # (36, rows, columns, c, n)
    patches = patches.transpose(0, 3, 1, 2, 4).reshape(36 * c, -1)
    four = jnp.stack(
        [
            jnp.pad(kernel, ((i, 1 - i), (j, 1 - j), (0, 0), (0, 0)))
            for i in (0, 1)
            for j in (0, 1)
        ]
    )  # (4, 6, 6, c, o)
    four = four.reshape(4, 36 * c, o).transpose(0, 2, 1).reshape(4 * o, 36 * c)
    y = max_of_four((four @ patches).reshape(4, o, -1))
    return y.reshape(o, rows, columns, n).transpose(3, 1, 2, 0)


def conv_pool_by_winograd(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """For many input channels: Winograd's F(4x4, 5x5), 64 products in place of 400.

    Tiles of 8x8 inputs give 4x4 outputs each. In the transformed domain a convolution
    is one small product over the channels at each of the 64 points.
    """
    n, h, w, c = x.shape
    o = kernel.shape[-1]
    down, across = (h - 4) // 4, (w - 4) // 4
    pixels = x.transpose(3, 1, 2, 0)  # (c, h, w, n)
    tiles = jnp.stack(
        [
            pixels[:, 4 * i : 4 * i + 8, 4 * j : 4 * j + 8]
            for i in range(down)
            for j in range(across)
        ],
        axis=3,
    )  # (c, 8, 8, tiles, n)
    tiles = tiles.transpose(1, 2, 0, 3, 4).reshape(8, 8, -1)
    points = _on_both_axes(_FROM_TILE, tiles).reshape(64, c, -1)
    weights = _on_both_axes(_FROM_KERNEL, kernel.reshape(5, 5, -1)).reshape(64, c, o)
    y = jnp.einsum("pco,pcm->pom", weights, points)
    y = _on_both_axes(_TO_OUTPUT, y.reshape(8, 8, -1))
    # an output's row and column are (pooled position, offset in the pooling window)
    y = y.reshape(2, 2, 2, 2, -1).transpose(1, 3, 0, 2, 4)
    y = max_of_four(y.reshape(4, -1)).reshape(2, 2, o, down, across, n)
    return y.transpose(5, 3, 0, 4, 1, 2).reshape(n, 2 * down, 2 * across, o)


def _on_both_axes(matrix: NDArray[np.float32], y: jax.Array) -> jax.Array:
    """matrix applied along axis 0 and along axis 1 of y, of shape (i, j, rest).

    The second product is batched over the first axis; written as one product it would
    move the axes of the whole array in memory.
    """
    rows, size = matrix.shape
    y = jnp.matmul(matrix, y.reshape(size, -1)).reshape(rows, size, -1)
    batched = jnp.broadcast_to(matrix, (rows, rows, size))
    return jnp.einsum("rij,rjm->rim", batched, y)


def _winograd(
    points: tuple[float, ...], outputs: int, taps: int
) -> list[NDArray[np.float32]]:
    """Toom and Cook's matrices of F(outputs, taps): to output, from kernel, from tile.

    Evaluating two polynomials at `points` and infinity, multiplying and interpolating
    is a convolution; its transpose is the correlation that networks call convolution.
    """
    size = outputs + taps - 1

    def evaluate(length: int) -> NDArray[np.float64]:
        infinity = np.arange(length) == length - 1
        return np.vstack([np.vander(points, length, increasing=True), infinity])

    from_tile = np.linalg.inv(evaluate(size)).T
    # a row may be scaled if the kernel's is scaled inversely: rows whose largest entry
    # is 1 keep the float32 error small
    scale = np.abs(from_tile).max(axis=1, keepdims=True)
    matrices = (evaluate(outputs).T, evaluate(taps) * scale, from_tile / scale)
    return [matrix.astype(np.float32) for matrix in matrices]


_TO_OUTPUT, _FROM_KERNEL, _FROM_TILE = _winograd(
    (0, 1, -1, 2, -2, 0.5, -0.5), outputs=4, taps=5
)
