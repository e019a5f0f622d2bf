"""Small tasks that look like what people train, each an init and a loss.

A network is of Flax NNX unless it is a few arrays. There is no convolution
primitive in them: in a compiled loop on a CPU it is many times slower than the
product of patches and kernel.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from lab.data import Images
from lab.transformer.text import Text

Params = Any
CONTEXT = 32


class Task(NamedTuple):
    """What is trained: weights by a key, a batch's loss by a key, the loss held out.

    `loss(params, key)` draws its batch with the key.
    """

    init: Callable[[jax.Array], Params]
    loss: Callable[[Params, jax.Array], jax.Array]
    held_out: Callable[[Params], jax.Array]


def tasks(train: "Pixels", test: "Pixels", text: Text) -> dict[str, Callable[[], Task]]:
    """The tasks by name, to be made one at a time."""
    return {
        "text transformer": partial(text_task, text, Transformer),
        "ResNet, BatchNorm": partial(image_task, train, test, ResNet),
        "autoencoder": partial(autoencoder, train, test),
        "tabular regression": tabular,
        "full batch": partial(full_batch, train),
        "deep linear network": deep_linear,
        "MLP, dropout": partial(image_task, train, test, MLP, 64),
        "ViT": partial(image_task, train, test, ViT),
        "text GRU": partial(text_task, text, GRU),
        "diffusion": partial(diffusion, train, test),
        "logistic regression": partial(image_task, train, test, Logistic, 64),
        "fine-tuning": partial(fine_tuning, train, test),
        "matrix factorization": factorization,
        "sorting transformer": sorting,
    }


# the data: images of 14 x 14 pixels with mean 0 and deviation 1, and their labels


class Pixels(NamedTuple):
    """Images, float32 of shape (n, 14, 14), and labels."""

    x: jax.Array
    y: jax.Array

    def rows(self, index: Any) -> "Pixels":
        """Some of them."""
        return Pixels(self.x[index], self.y[index])


def images_of(images: Images) -> Pixels:
    """Images at half their size: means over two by two."""
    pixels = np.asarray(images.images, np.float32).reshape(-1, 14, 2, 14, 2)
    x = (pixels.mean(axis=(2, 4)) / 255 - 0.286) / 0.32
    return Pixels(jnp.asarray(x), jnp.asarray(np.asarray(images.labels, np.int32)))


def drawn(data: Pixels, key: jax.Array, size: int) -> Pixels:
    """A batch of images."""
    return data.rows(jax.random.randint(key, (size,), 0, len(data.x)))


def tiles_of(x: jax.Array) -> jax.Array:
    """Images as 14 tokens, tiles of 2 rows and 7 columns."""
    return x.reshape(-1, 7, 2, 2, 7).transpose(0, 1, 3, 2, 4).reshape(-1, 14, 14)


# the networks: a model is called with a batch's x and a key, None when scored


class Logistic(nnx.Module):
    """Softmax regression."""

    def __init__(self, rngs: nnx.Rngs):
        self.dense = nnx.Linear(196, 10, rngs=rngs)

    def __call__(self, x: jax.Array, key: jax.Array | None) -> jax.Array:
        return self.dense(x.reshape(-1, 196))


class MLP(nnx.Module):
    """Two hidden layers, a fifth of them dropped in training."""

    def __init__(self, rngs: nnx.Rngs):
        self.layers = nnx.List(
            [nnx.Linear(a, b, rngs=rngs) for a, b in ((196, 128), (128, 64), (64, 10))]
        )
        self.dropout = nnx.Dropout(0.2)

    def __call__(self, x: jax.Array, key: jax.Array | None) -> jax.Array:
        x = x.reshape(-1, 196)
        for layer in self.layers[:-1]:
            x = nnx.relu(layer(x))
            if key is not None:
                key, now = jax.random.split(key)
                x = self.dropout(x, rngs=now)
        return self.layers[-1](x)


class Conv(nnx.Module):
    """A 3 x 3 convolution with padding, as patches times a matrix."""

    def __init__(self, inputs: int, outputs: int, stride: int, rngs: nnx.Rngs):
        self.dense = nnx.Linear(9 * inputs, outputs, use_bias=False, rngs=rngs)
        self.stride = stride

    def __call__(self, x: jax.Array) -> jax.Array:
        h, w = x.shape[1:3]
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        s = self.stride
        parts = [x[:, i : i + h : s, j : j + w : s] for i in range(3) for j in range(3)]
        return self.dense(jnp.concatenate(parts, axis=-1))


class Norm(nnx.Module):
    """Batch normalization by the batch's own statistics, when scored too."""

    def __init__(self, features: int):
        self.scale = nnx.Param(jnp.ones(features))
        self.bias = nnx.Param(jnp.zeros(features))

    def __call__(self, x: jax.Array) -> jax.Array:
        mean, var = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
        return (x - mean) * jax.lax.rsqrt(var + 1e-5) * self.scale[...] + self.bias[...]


class Residual(nnx.Module):
    """Two convolutions, added to their input."""

    def __init__(self, inputs: int, outputs: int, stride: int, rngs: nnx.Rngs):
        self.conv1 = Conv(inputs, outputs, stride, rngs)
        self.conv2 = Conv(outputs, outputs, 1, rngs)
        self.norm1, self.norm2 = Norm(outputs), Norm(outputs)
        self.skip = nnx.Linear(inputs, outputs, use_bias=False, rngs=rngs)
        self.stride = stride

    def __call__(self, x: jax.Array) -> jax.Array:
        y = self.norm2(self.conv2(nnx.relu(self.norm1(self.conv1(x)))))
        return nnx.relu(y + self.skip(x[:, :: self.stride, :: self.stride]))


class ResNet(nnx.Module):
    """A convolution, two residual blocks, a mean and a dense layer."""

    def __init__(self, rngs: nnx.Rngs, classes: int = 10):
        self.first, self.norm = Conv(1, 8, 2, rngs), Norm(8)
        self.blocks = nnx.List([Residual(8, 16, 1, rngs), Residual(16, 32, 2, rngs)])
        self.dense = nnx.Linear(32, classes, rngs=rngs)

    def features(self, x: jax.Array) -> jax.Array:
        x = nnx.relu(self.norm(self.first(x[..., None])))
        for block in self.blocks:
            x = block(x)
        return x.mean(axis=(1, 2))

    def __call__(self, x: jax.Array, key: jax.Array | None) -> jax.Array:
        return self.dense(self.features(x))


class Block(nnx.Module):
    """Attention and two dense layers, each added to its input after a norm."""

    def __init__(self, width: int, rngs: nnx.Rngs):
        self.norm1 = nnx.LayerNorm(width, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(4, width, decode=False, rngs=rngs)
        self.norm2 = nnx.LayerNorm(width, rngs=rngs)
        self.up = nnx.Linear(width, 4 * width, rngs=rngs)
        self.down = nnx.Linear(4 * width, width, rngs=rngs)

    def __call__(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        x = x + self.attention(self.norm1(x), mask=mask)
        return x + self.down(nnx.gelu(self.up(self.norm2(x))))


class ViT(nnx.Module):
    """Tiles of 2 rows as tokens, two blocks of attention, a mean."""

    def __init__(self, rngs: nnx.Rngs):
        self.embed = nnx.Linear(14, 32, rngs=rngs)
        self.place = nnx.Param(0.02 * jax.random.normal(rngs.params(), (14, 32)))
        self.blocks = nnx.List([Block(32, rngs) for _ in range(2)])
        self.norm = nnx.LayerNorm(32, rngs=rngs)
        self.dense = nnx.Linear(32, 10, rngs=rngs)

    def __call__(self, x: jax.Array, key: jax.Array | None) -> jax.Array:
        x = self.embed(tiles_of(x)) + self.place[...]
        for block in self.blocks:
            x = block(x, None)
        return self.dense(self.norm(x).mean(axis=1))


class Transformer(nnx.Module):
    """A causal transformer over tokens."""

    def __init__(self, vocabulary: int, rngs: nnx.Rngs):
        small = nnx.initializers.normal(0.02)
        embed = partial(nnx.Embed, features=32, embedding_init=small, rngs=rngs)
        self.token, self.place = embed(vocabulary), embed(CONTEXT)
        self.blocks = nnx.List([Block(32, rngs) for _ in range(2)])
        self.norm = nnx.LayerNorm(32, rngs=rngs)
        self.logits = nnx.Linear(32, vocabulary, rngs=rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        x = self.token(tokens) + self.place(jnp.arange(tokens.shape[1]))
        mask = nnx.make_causal_mask(tokens)
        for block in self.blocks:
            x = block(x, mask)
        return self.logits(self.norm(x))


class GRU(nnx.Module):
    """A gated recurrent network over tokens."""

    def __init__(self, vocabulary: int, rngs: nnx.Rngs):
        self.token = nnx.Embed(vocabulary, 32, rngs=rngs)
        self.cell = nnx.RNN(nnx.GRUCell(32, 64, rngs=rngs))
        self.logits = nnx.Linear(64, vocabulary, rngs=rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        start = jnp.zeros((len(tokens), 64))
        return self.logits(self.cell(self.token(tokens), initial_carry=start))


class Denoiser(nnx.Module):
    """The noise in an image, from the image and the share of noise."""

    def __init__(self, rngs: nnx.Rngs):
        self.time = nnx.Linear(16, 128, rngs=rngs)
        self.layers = nnx.List(
            [nnx.Linear(a, b, rngs=rngs) for a, b in ((196, 128), (128, 128))]
        )
        self.out = nnx.Linear(128, 196, rngs=rngs)

    def __call__(self, x: jax.Array, angle: jax.Array) -> jax.Array:
        waves = angle * 2.0 ** jnp.arange(8)
        time = self.time(jnp.concatenate([jnp.sin(waves), jnp.cos(waves)], axis=-1))
        for layer in self.layers:
            x = nnx.silu(layer(x) + time)
        return self.out(x)


class Coder(nnx.Module):
    """Dense layers of these widths."""

    def __init__(self, widths: tuple[int, ...], rngs: nnx.Rngs):
        pairs = itertools.pairwise(widths)
        self.layers = nnx.List([nnx.Linear(a, b, rngs=rngs) for a, b in pairs])

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self.layers[:-1]:
            x = nnx.gelu(layer(x))
        return self.layers[-1](x)


# the tasks


def modelled(make: Callable[[nnx.Rngs], Any]) -> tuple[Any, Any]:
    """A network as two functions: weights by a key, and the module with weights."""
    split: Any = nnx.split(make(nnx.Rngs(0)), nnx.Param, ...)
    graph, _, rest = split

    def init(key: jax.Array) -> Params:
        return nnx.state(make(nnx.Rngs(key)), nnx.Param)

    return init, lambda params: nnx.merge(graph, params, rest)


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The mean over all answers."""
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    mean: jax.Array = losses.mean()
    return mean


def image_task(
    train: Pixels, test: Pixels, make: Callable[..., Any], size: int = 16
) -> Task:
    """Which of ten garments."""
    init, model = modelled(lambda rngs: make(rngs=rngs))

    def loss(params: Params, key: jax.Array) -> jax.Array:
        pick, drop = jax.random.split(key)
        batch = drawn(train, pick, size)
        return cross_entropy(model(params)(batch.x, drop), batch.y)

    def held_out(params: Params) -> jax.Array:
        part = test.rows(slice(2000))
        return cross_entropy(model(params)(part.x, None), part.y)

    return Task(init, loss, held_out)


def row_task(
    init: Callable[[jax.Array], Params],
    loss_of: Callable[[Params, jax.Array, jax.Array], jax.Array],
    x: jax.Array,
    y: jax.Array,
    size: int = 64,
) -> Task:
    """Batches of rows drawn from all but the last 1,000, which are held out."""
    learned = len(x) - 1000

    def loss(params: Params, key: jax.Array) -> jax.Array:
        rows = jax.random.randint(key, (size,), 0, learned)
        return loss_of(params, x[rows], y[rows])

    return Task(init, loss, lambda params: loss_of(params, x[learned:], y[learned:]))


def text_task(text: Text, make: Callable[..., Any]) -> Task:
    """The next character, in batches of 8 texts of 32."""
    init, model = modelled(lambda rngs: make(text.vocabulary, rngs=rngs))
    learned = jnp.asarray(text.first)

    def loss_of(params: Params, texts: jax.Array) -> jax.Array:
        texts = texts.astype(jnp.int32)
        return cross_entropy(model(params)(texts[:, :-1]), texts[:, 1:])

    def loss(params: Params, key: jax.Array) -> jax.Array:
        places = jax.random.randint(key, (8, 1), 0, len(learned) - CONTEXT)
        return loss_of(params, learned[places + jnp.arange(CONTEXT + 1)])

    rows = len(text.second) // (CONTEXT + 1)
    second = np.asarray(text.second[: rows * (CONTEXT + 1)]).reshape(rows, -1)
    return Task(init, loss, partial(loss_of, texts=jnp.asarray(second[:: rows // 512])))


def autoencoder(train: Pixels, test: Pixels) -> Task:
    """Images through 16 numbers, in batches of 64."""
    init, model = modelled(lambda rngs: Coder((196, 64, 16, 64, 196), rngs))

    def loss_of(params: Params, x: jax.Array) -> jax.Array:
        x = x.reshape(-1, 196)
        return jnp.square(model(params)(x) - x).mean()

    def loss(params: Params, key: jax.Array) -> jax.Array:
        return loss_of(params, drawn(train, key, 64).x)

    return Task(init, loss, partial(loss_of, x=test.x[:2000]))


def diffusion(train: Pixels, test: Pixels) -> Task:
    """The noise that was added to images, in batches of 64."""
    init, model = modelled(Denoiser)

    def loss_of(params: Params, x: jax.Array, key: jax.Array) -> jax.Array:
        x = x.reshape(-1, 196)
        key_of_noise, key_of_angle = jax.random.split(key)
        noise = jax.random.normal(key_of_noise, x.shape)
        angle = jax.random.uniform(key_of_angle, (len(x), 1), maxval=np.pi / 2)
        mixed = jnp.cos(angle) * x + jnp.sin(angle) * noise
        return jnp.square(model(params)(mixed, angle) - noise).mean()

    def loss(params: Params, key: jax.Array) -> jax.Array:
        pick, noise = jax.random.split(key)
        return loss_of(params, drawn(train, pick, 64).x, noise)

    return Task(init, loss, partial(loss_of, x=test.x[:2000], key=jax.random.key(1)))


def tabular() -> Task:
    """A function of 16 numbers with noise, in batches of 64 of 4,000 rows."""
    keys = jax.random.split(jax.random.key(2), 4)
    x = jax.random.normal(keys[0], (5000, 16))
    turned = x @ jax.random.normal(keys[1], (16, 6)) / 4
    y = jnp.sin(3 * turned[:, 0]) + turned[:, 1] * turned[:, 2] + abs(turned[:, 3])
    y = y + turned[:, 4] + 0.1 * jax.random.normal(keys[2], y.shape)
    y = (y - y.mean()) / y.std()
    init, model = modelled(lambda rngs: Coder((16, 64, 64, 1), rngs))

    def loss_of(params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.square(model(params)(x)[:, 0] - y).mean()

    return row_task(init, loss_of, x, y)


def full_batch(train: Pixels) -> Task:
    """512 images as one batch, scored on themselves: how far training gets."""
    init, model = modelled(lambda rngs: Coder((196, 32, 10), rngs))
    part = train.rows(slice(512))

    def held_out(params: Params) -> jax.Array:
        return cross_entropy(model(params)(part.x.reshape(-1, 196)), part.y)

    return Task(init, lambda params, key: held_out(params), held_out)


def deep_linear() -> Task:
    """Four matrices in a row that start small, so that the loss begins on a plateau."""
    keys = jax.random.split(jax.random.key(3), 2)
    target = jax.random.normal(keys[0], (32, 4)) @ jax.random.normal(keys[1], (4, 32))
    target = target / jnp.linalg.norm(target, 2)

    def init(key: jax.Array) -> Params:
        return [0.3 / 32**0.5 * w for w in jax.random.normal(key, (4, 32, 32))]

    def loss_of(params: Params, x: jax.Array) -> jax.Array:
        y = x
        for w in params:
            y = y @ w
        return jnp.square(y - x @ target).mean()

    def loss(params: Params, key: jax.Array) -> jax.Array:
        return loss_of(params, jax.random.normal(key, (32, 32)))

    x = jax.random.normal(jax.random.key(4), (1000, 32))
    return Task(init, loss, partial(loss_of, x=x))


def factorization() -> Task:
    """A matrix as the product of two thin ones that start near zero: a plateau."""
    left, right = jax.random.normal(jax.random.key(5), (2, 60, 4))
    matrix = left @ right.T / 2

    def init(key: jax.Array) -> Params:
        return 0.01 * jax.random.normal(key, (2, 60, 4))

    def loss_of(params: Params, rows: jax.Array, columns: jax.Array) -> jax.Array:
        guess = (params[0][rows] * params[1][columns]).sum(axis=-1)
        return jnp.square(guess - matrix[rows, columns]).mean()

    def loss(params: Params, key: jax.Array) -> jax.Array:
        rows, columns = jax.random.randint(key, (2, 256), 0, 60)
        return loss_of(params, rows, columns)

    everywhere = jnp.indices((60, 60)).reshape(2, -1)
    held_out = partial(loss_of, rows=everywhere[0], columns=everywhere[1])
    return Task(init, loss, held_out)


def sorting() -> Task:
    """Eight digits and then the same in order, in batches of 16."""
    init, model = modelled(lambda rngs: Transformer(11, rngs))

    def loss_of(params: Params, key: jax.Array, size: int) -> jax.Array:
        digits = jax.random.randint(key, (size, 8), 0, 10)
        mark = jnp.full((size, 1), 10)
        tokens = jnp.concatenate([digits, mark, jnp.sort(digits, axis=1)], axis=1)
        logits = model(params)(tokens[:, :-1])
        return cross_entropy(logits[:, 8:], tokens[:, 9:])

    held_out = partial(loss_of, key=jax.random.key(6), size=512)
    return Task(init, partial(loss_of, size=16), held_out)


def fine_tuning(train: Pixels, test: Pixels) -> Task:
    """Five garments, for a ResNet trained on the other five with a new last layer."""
    make, model = modelled(lambda rngs: ResNet(rngs, classes=5))
    old, new = (
        train.rows(np.flatnonzero(np.asarray(train.y) // 5 == k)) for k in (0, 1)
    )
    asked = test.rows(np.flatnonzero(np.asarray(test.y) // 5 == 1)[:2000])

    def loss_of(params: Params, batch: Pixels) -> jax.Array:
        return cross_entropy(model(params)(batch.x, None), batch.y % 5)

    optimizer = optax.adam(optax.cosine_decay_schedule(0.01, 500))

    @jax.jit
    def trained() -> Params:
        params = make(jax.random.key(7))

        def step(carry: Any, key: jax.Array) -> Any:
            params, opt_state = carry
            grads = jax.grad(loss_of)(params, drawn(old, key, 16))
            updates, opt_state = optimizer.update(grads, opt_state)
            return (optax.apply_updates(params, updates), opt_state), None

        keys = jax.random.split(jax.random.key(8), 500)
        (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), keys)
        return params

    start = trained()

    def init(key: jax.Array) -> Params:
        params = nnx.State(dict(start))
        params["dense"] = make(key)["dense"]
        return params

    def loss(params: Params, key: jax.Array) -> jax.Array:
        return loss_of(params, drawn(new, key, 16))

    return Task(init, loss, partial(loss_of, batch=asked))
