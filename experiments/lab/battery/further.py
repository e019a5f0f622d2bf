"""The tasks of the protocol's later rounds.

As in `lab.battery.tasks`, networks are of Flax NNX and small.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from lab.battery.tasks import (
    Coder,
    Conv,
    Params,
    Pixels,
    Task,
    cross_entropy,
    drawn,
    image_task,
    modelled,
    row_task,
    tiles_of,
)
from lab.transformer.text import Text


def further_tasks(
    train: Pixels, test: Pixels, text: Text
) -> dict[str, Callable[[], Task]]:
    """The further tasks by name, to be made one at a time."""
    return {
        "contrastive": partial(contrastive, train, test),
        "variational": partial(variational, train, test),
        "word embeddings": embeddings,
        "rare events": rare_events,
        "mixer": partial(image_task, train, test, Mixer, 32),
        "U-Net": partial(restoring, train, test),
        "flow": flow,
        "coordinates": coordinates,
        "graph": graph,
        "LSTM": forecasting,
        "recommender": recommender,
        "counts": counts,
        "quantiles": quantiles,
        "sets": sets,
        "signals": signals,
        "n-grams": partial(n_grams, text),
        "neural ODE": spirals,
        "experts": experts,
    }


# the first four of the second round


def contrastive(train: Pixels, test: Pixels) -> Task:
    """Which of 64 noisy images is the same as another noisy one."""
    init, model = modelled(lambda rngs: Coder((196, 64, 32), rngs))

    def loss_of(params: Params, x: jax.Array, key: jax.Array) -> jax.Array:
        noise = 0.3 * jax.random.normal(key, (2, *x.shape))
        codes = model(params)(x + noise)
        codes /= jnp.linalg.norm(codes, axis=-1, keepdims=True) + 1e-6
        return cross_entropy(codes[0] @ codes[1].T / 0.2, jnp.arange(len(x)))

    def loss(params: Params, key: jax.Array) -> jax.Array:
        pick, noise = jax.random.split(key)
        return loss_of(params, drawn(train, pick, 64).x.reshape(64, -1), noise)

    x = test.x[:64].reshape(64, -1)
    return Task(init, loss, partial(loss_of, x=x, key=jax.random.key(3)))


class Variational(nnx.Module):
    """An encoder to the means and variances of eight numbers, and a decoder."""

    def __init__(self, rngs: nnx.Rngs):
        self.encoder = Coder((196, 64, 16), rngs)
        self.decoder = Coder((8, 64, 196), rngs)

    def __call__(self, x: jax.Array, key: jax.Array) -> jax.Array:
        mean, log_var = jnp.split(self.encoder(x), 2, axis=-1)
        code = mean + jnp.exp(log_var / 2) * jax.random.normal(key, mean.shape)
        apart = (jnp.exp(log_var) + mean**2 - 1 - log_var).sum(axis=-1) / 2
        return (jnp.square(self.decoder(code) - x).sum(axis=-1) + apart).mean()


def variational(train: Pixels, test: Pixels) -> Task:
    """A variational autoencoder of images, in batches of 32."""
    init, model = modelled(Variational)

    def loss(params: Params, key: jax.Array) -> jax.Array:
        pick, noise = jax.random.split(key)
        mean: jax.Array = model(params)(drawn(train, pick, 32).x.reshape(32, -1), noise)
        return mean

    x = test.x[:500].reshape(500, -1)
    return Task(init, loss, lambda params: model(params)(x, jax.random.key(9)))


def embeddings() -> Task:
    """Which of 300 words stands beside a word, in batches of 64."""
    base = jax.random.normal(jax.random.key(10), (300, 8))
    beside = base @ base.T

    def loss(params: Params, key: jax.Array, size: int = 64) -> jax.Array:
        pick, draw = jax.random.split(key)
        words = jax.random.randint(pick, (size,), 0, len(base))
        near = jax.random.categorical(draw, beside[words])
        return cross_entropy(params[0][words] @ params[1].T, near)

    held_out = partial(loss, key=jax.random.key(11), size=2000)
    return Task(lambda key: 0.1 * jax.random.normal(key, (2, 300, 16)), loss, held_out)


def linear(features: int, scale: float, key: jax.Array) -> Params:
    """The weights of a linear model of one output."""
    return {"w": scale * jax.random.normal(key, (features,)), "b": jnp.zeros(())}


def rare_events() -> Task:
    """Logistic regression on features of unlike scale, for what is seldom true."""
    keys = jax.random.split(jax.random.key(12), 3)
    scales = jnp.geomspace(0.1, 10, 20)
    x = jax.random.normal(keys[0], (6000, 20)) * scales
    score = 2 * x @ (jax.random.normal(keys[1], (20,)) / scales) - 3
    y = jax.random.bernoulli(keys[2], jax.nn.sigmoid(score))

    def loss_of(params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
        margin = (x @ params["w"] + params["b"]) * jnp.where(y, 1, -1)
        return jax.nn.softplus(-margin).mean()

    return row_task(partial(linear, 20, 0.01), loss_of, x, y, size=32)


# the other seven


class Mixer(nnx.Module):
    """Tiles of 2 rows as tokens, mixed in turn by place and by feature."""

    def __init__(self, rngs: nnx.Rngs):
        self.embed = nnx.Linear(14, 32, rngs=rngs)
        self.norms = nnx.List([nnx.LayerNorm(32, rngs=rngs) for _ in range(4)])
        self.places = nnx.List([Coder((14, 28, 14), rngs) for _ in range(2)])
        self.features = nnx.List([Coder((32, 64, 32), rngs) for _ in range(2)])
        self.dense = nnx.Linear(32, 10, rngs=rngs)

    def __call__(self, x: jax.Array, key: jax.Array | None) -> jax.Array:
        x = self.embed(tiles_of(x))
        for k in range(2):
            turned = self.norms[2 * k](x).swapaxes(1, 2)
            x = x + self.places[k](turned).swapaxes(1, 2)
            x = x + self.features[k](self.norms[2 * k + 1](x))
        return self.dense(x.mean(axis=1))


class UNet(nnx.Module):
    """Down to half the size and up again, beside what was there."""

    def __init__(self, rngs: nnx.Rngs):
        self.first, self.down = Conv(1, 8, 1, rngs), Conv(8, 16, 2, rngs)
        self.middle = Conv(16, 16, 1, rngs)
        self.up, self.last = Conv(24, 8, 1, rngs), Conv(8, 1, 1, rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        wide = nnx.relu(self.first(x[..., None]))
        deep = nnx.relu(self.middle(nnx.relu(self.down(wide))))
        deep = deep.repeat(2, axis=1).repeat(2, axis=2)
        both = jnp.concatenate([wide, deep], axis=-1)
        return self.last(nnx.relu(self.up(both)))[..., 0]


def restoring(train: Pixels, test: Pixels) -> Task:
    """Images of which a tile of 6 x 6 is missing, in batches of 8."""
    init, model = modelled(UNet)

    def loss_of(params: Params, x: jax.Array, key: jax.Array) -> jax.Array:
        corner = jax.random.randint(key, (2, len(x), 1), 0, 9)
        inside = (jnp.arange(14) >= corner) & (jnp.arange(14) < corner + 6)
        tile = inside[0][:, :, None] & inside[1][:, None, :]
        errors = jnp.square(model(params)(jnp.where(tile, 0, x)) - x)
        return errors.mean()

    def loss(params: Params, key: jax.Array) -> jax.Array:
        pick, place = jax.random.split(key)
        return loss_of(params, drawn(train, pick, 8).x, place)

    return Task(init, loss, partial(loss_of, x=test.x[:500], key=jax.random.key(13)))


class Flow(nnx.Module):
    """Six couplings: half of the numbers scale and move the other half."""

    def __init__(self, rngs: nnx.Rngs):
        self.parts = nnx.List([Coder((4, 48, 8), rngs) for _ in range(6)])

    def __call__(self, x: jax.Array) -> jax.Array:
        fixed, moved = jnp.split(x, 2, axis=-1)
        volume = jnp.zeros(len(x))
        for part in self.parts:
            scale, move = jnp.split(part(fixed), 2, axis=-1)
            scale = jnp.tanh(scale) / 2
            volume += scale.sum(axis=-1)
            fixed, moved = moved * jnp.exp(scale) + move, fixed
        z = jnp.concatenate([fixed, moved], axis=-1)
        return (jnp.square(z).sum(axis=-1) / 2 - volume).mean()


def flow() -> Task:
    """The density of eight numbers in five clusters, in batches of 128."""
    centers = 3 * jax.random.normal(jax.random.key(14), (5, 8))
    init, model = modelled(Flow)

    def loss(params: Params, key: jax.Array, size: int = 128) -> jax.Array:
        pick, noise = jax.random.split(key)
        x = centers[jax.random.randint(pick, (size,), 0, len(centers))]
        x = (x + 0.5 * jax.random.normal(noise, x.shape)) / 3
        mean: jax.Array = model(params)(x)
        return mean

    return Task(init, loss, partial(loss, key=jax.random.key(15), size=2000))


def coordinates() -> Task:
    """A picture as a function of its coordinates, in batches of 256 points."""
    waves = 4 * jax.random.normal(jax.random.key(16), (2, 16))
    init, model = modelled(lambda rngs: Coder((32, 64, 64, 1), rngs))

    def loss_of(params: Params, at: jax.Array) -> jax.Array:
        x, y = at[:, 0], at[:, 1]
        ring = jnp.tanh(20 * (jnp.hypot(x, y) - 0.6))
        value = ring + jnp.sin(9 * x) * jnp.cos(7 * y) + (x > y)
        turned = at @ waves
        inputs = jnp.concatenate([jnp.sin(turned), jnp.cos(turned)], axis=-1)
        return jnp.square(model(params)(inputs)[:, 0] - value).mean()

    def loss(params: Params, key: jax.Array) -> jax.Array:
        return loss_of(params, jax.random.uniform(key, (256, 2), minval=-1))

    line = jnp.linspace(-1, 1, 40)
    grid = jnp.stack(jnp.meshgrid(line, line), axis=-1).reshape(-1, 2)
    return Task(init, loss, partial(loss_of, at=grid))


def graph() -> Task:
    """Five groups in a graph of 300 nodes, of which half are known: one batch."""
    keys = jax.random.split(jax.random.key(17), 4)
    group = jnp.arange(300) % 5
    alike = group[:, None] == group[None]
    chance = jnp.where(alike, 0.08, 0.01)
    edges = jnp.triu(jax.random.bernoulli(keys[0], chance), 1)
    edges = (edges | edges.T).astype(jnp.float32) + jnp.eye(300)
    degree = jax.lax.rsqrt(edges.sum(axis=1))
    spread = degree[:, None] * edges * degree
    x = jax.random.normal(keys[1], (5, 16))[group] / 2
    x = x + jax.random.normal(keys[2], (300, 16))
    known = jax.random.permutation(keys[3], 300) < 150

    def init(key: jax.Array) -> Params:
        first, second = jax.random.split(key)
        return {
            "first": jax.random.normal(first, (16, 32)) / 4,
            "second": jax.random.normal(second, (32, 5)) / 32**0.5,
        }

    def loss_of(params: Params, nodes: jax.Array) -> jax.Array:
        hidden = jax.nn.relu(spread @ x @ params["first"])
        logits = spread @ hidden @ params["second"]
        return cross_entropy(logits[nodes], group[nodes])

    asked, told = jnp.flatnonzero(~known), jnp.flatnonzero(known)
    return Task(
        init,
        lambda params, key: loss_of(params, told),
        lambda params: loss_of(params, asked),
    )


class LSTM(nnx.Module):
    """The next value of a series, after each of its values."""

    def __init__(self, rngs: nnx.Rngs):
        self.cell = nnx.RNN(nnx.OptimizedLSTMCell(1, 32, rngs=rngs))
        self.dense = nnx.Linear(32, 1, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        start = jnp.zeros((len(x), 32)), jnp.zeros((len(x), 32))
        return self.dense(self.cell(x[..., None], initial_carry=start))[..., 0]


def forecasting() -> Task:
    """Sums of two waves with noise, 32 values each, in batches of 16."""
    init, model = modelled(LSTM)

    def loss(params: Params, key: jax.Array, size: int = 16) -> jax.Array:
        keys = jax.random.split(key, 3)
        speed = jax.random.uniform(keys[0], (2, size, 1), minval=0.1, maxval=1.2)
        phase = jax.random.uniform(keys[1], (2, size, 1), maxval=6.3)
        series = jnp.sin(speed * jnp.arange(33) + phase).sum(axis=0)
        seen = series + 0.1 * jax.random.normal(keys[2], series.shape)
        return jnp.square(model(params)(seen[:, :-1]) - series[:, 1:]).mean()

    return Task(init, loss, partial(loss, key=jax.random.key(18), size=500))


def recommender() -> Task:
    """Which of two things each of 200 people prefers, in batches of 128."""
    people, things = (
        jax.random.normal(key, (count, 6))
        for key, count in zip(
            jax.random.split(jax.random.key(19)), (200, 400), strict=True
        )
    )
    shapes = {"people": (200, 12), "things": (400, 12), "liked": (400,)}

    def init(key: jax.Array) -> Params:
        keys = jax.random.split(key, len(shapes))
        return {
            name: 0.1 * jax.random.normal(key, shape)
            for key, (name, shape) in zip(keys, shapes.items(), strict=True)
        }

    def loss(params: Params, key: jax.Array, size: int = 128) -> jax.Array:
        keys = jax.random.split(key, 3)
        who = jax.random.randint(keys[0], (size,), 0, len(people))
        pair = jax.random.randint(keys[1], (2, size), 0, len(things))
        gap = (people[who] * (things[pair[0]] - things[pair[1]])).sum(axis=-1)
        first = jax.random.bernoulli(keys[2], jax.nn.sigmoid(gap))
        score = (params["people"][who] * params["things"][pair]).sum(axis=-1)
        score = score + params["liked"][pair]
        margin = (score[0] - score[1]) * jnp.where(first, 1, -1)
        return jax.nn.softplus(-margin).mean()

    return Task(init, loss, partial(loss, key=jax.random.key(20), size=4000))


# the third round


def counts() -> Task:
    """Poisson regression: how often something happens, in batches of 64."""
    keys = jax.random.split(jax.random.key(21), 3)
    x = jax.random.normal(keys[0], (5000, 12))
    rate = jnp.exp(x @ jax.random.normal(keys[1], (12,)) / 4 + 1)
    y = jax.random.poisson(keys[2], rate).astype(jnp.float32)

    def loss_of(params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
        log_rate: jax.Array = x @ params["w"] + params["b"]
        return (jnp.exp(log_rate) - y * log_rate).mean()

    return row_task(partial(linear, 12, 0.1), loss_of, x, y)


def quantiles() -> Task:
    """Three quantiles of a number with heavy tails, in batches of 64."""
    asked = jnp.array([0.1, 0.5, 0.9])
    init, model = modelled(lambda rngs: Coder((4, 48, 48, 3), rngs))

    def loss(params: Params, key: jax.Array, size: int = 64) -> jax.Array:
        keys = jax.random.split(key)
        x = jax.random.uniform(keys[0], (size, 4), minval=-2, maxval=2)
        width = 0.2 + jnp.abs(x[:, 1])
        noise = width * jax.random.t(keys[1], 3.0, (size,))
        y = jnp.sin(2 * x[:, 0]) + x[:, 2] * x[:, 3] + noise
        above = y[:, None] - model(params)(x)
        return jnp.maximum(asked * above, (asked - 1) * above).mean()

    return Task(init, loss, partial(loss, key=jax.random.key(22), size=4000))


class Sets(nnx.Module):
    """A network for each member, a sum, a network for the set."""

    def __init__(self, rngs: nnx.Rngs):
        self.member = Coder((3, 32, 32), rngs)
        self.whole = Coder((32, 32, 1), rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.whole(self.member(x).sum(axis=1))[:, 0]


def sets() -> Task:
    """How far twelve points lie from their mean, in batches of 32."""
    init, model = modelled(Sets)

    def loss(params: Params, key: jax.Array, size: int = 32) -> jax.Array:
        keys = jax.random.split(key)
        width = jax.random.uniform(keys[0], (size, 1, 1), minval=0.2, maxval=2)
        x = width * jax.random.normal(keys[1], (size, 12, 3))
        apart = jnp.linalg.norm(x - x.mean(axis=1, keepdims=True), axis=-1)
        return jnp.abs(model(params)(x) - apart.mean(axis=1)).mean()

    return Task(init, loss, partial(loss, key=jax.random.key(23), size=2000))


class Signals(nnx.Module):
    """Two convolutions over time with layer norms, and the mean of what they say."""

    def __init__(self, rngs: nnx.Rngs):
        self.first = nnx.Linear(8, 16, rngs=rngs)
        self.second = nnx.Linear(64, 32, rngs=rngs)
        self.norm = nnx.LayerNorm(16, rngs=rngs)
        self.dense = nnx.Linear(32, 4, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.relu(self.norm(self.first(x.reshape(len(x), -1, 8))))
        parts = [x[:, k : x.shape[1] - 3 + k] for k in range(4)]
        x = nnx.relu(self.second(jnp.concatenate(parts, axis=-1)))
        return self.dense(x.mean(axis=1))


def signals() -> Task:
    """Which of four forms a noisy wave has, in batches of 16."""
    init, model = modelled(Signals)

    def loss(params: Params, key: jax.Array, size: int = 16) -> jax.Array:
        keys = jax.random.split(key, 4)
        form = jax.random.randint(keys[0], (size,), 0, 4)
        speed = jax.random.uniform(keys[1], (size, 1), minval=0.1, maxval=0.4)
        phase = jax.random.uniform(keys[2], (size, 1), maxval=6.3)
        at = speed * jnp.arange(128) + phase
        saw = at / jnp.pi % 2 - 1
        forms = jnp.stack([jnp.sin(at), jnp.sign(jnp.sin(at)), saw, jnp.abs(saw)])
        x = forms[form, jnp.arange(size)] + 0.4 * jax.random.normal(keys[3], at.shape)
        return cross_entropy(model(params)(x), form)

    return Task(init, loss, partial(loss, key=jax.random.key(24), size=1000))


class NGrams(nnx.Module):
    """The embeddings of six characters, side by side, through a hidden layer."""

    def __init__(self, vocabulary: int, rngs: nnx.Rngs):
        self.token = nnx.Embed(vocabulary, 12, rngs=rngs)
        self.layers = Coder((72, 96, vocabulary), rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        return self.layers(self.token(tokens).reshape(len(tokens), -1))


def n_grams(text: Text) -> Task:
    """The next character after six, in batches of 64."""
    init, model = modelled(lambda rngs: NGrams(text.vocabulary, rngs))
    learned, asked = jnp.asarray(text.first), jnp.asarray(text.second)

    def loss_of(params: Params, characters: jax.Array, places: jax.Array) -> jax.Array:
        seven = characters[places[:, None] + jnp.arange(7)].astype(jnp.int32)
        return cross_entropy(model(params)(seven[:, :6]), seven[:, 6])

    def loss(params: Params, key: jax.Array) -> jax.Array:
        places = jax.random.randint(key, (64,), 0, len(learned) - 7)
        return loss_of(params, learned, places)

    some = jnp.asarray(np.linspace(0, len(asked) - 8, 4000).astype(np.int32))
    return Task(init, loss, partial(loss_of, characters=asked, places=some))


def spirals() -> Task:
    """Where a swing comes to after a time, through 20 steps of Euler: batches of 32."""
    init, model = modelled(lambda rngs: Coder((2, 32, 32, 2), rngs))
    true = jnp.array([[-0.1, 2.0], [-2.0, -0.1]])

    def loss(params: Params, key: jax.Array, size: int = 32) -> jax.Array:
        start = jax.random.uniform(key, (size, 2), minval=-2, maxval=2)
        move = model(params)

        def step(carry: tuple[jax.Array, jax.Array], _: None) -> tuple[Any, jax.Array]:
            guess, truth = carry
            guess, truth = guess + 0.05 * move(guess), truth + 0.05 * truth @ true
            return (guess, truth), jnp.abs(guess - truth).mean()

        _, apart = jax.lax.scan(step, (start, start), length=20)
        return apart.mean()

    return Task(init, loss, partial(loss, key=jax.random.key(25), size=1000))


class Experts(nnx.Module):
    """Four networks, and one that says by how much each counts."""

    def __init__(self, rngs: nnx.Rngs):
        self.gate = nnx.Linear(8, 4, rngs=rngs)
        self.experts = nnx.List([Coder((8, 24, 1), rngs) for _ in range(4)])

    def __call__(self, x: jax.Array) -> jax.Array:
        said = jnp.concatenate([expert(x) for expert in self.experts], axis=-1)
        return (nnx.softmax(self.gate(x)) * said).sum(axis=-1)


def experts() -> Task:
    """A number that follows another rule in each quarter, in batches of 64."""
    rules = jax.random.normal(jax.random.key(26), (4, 8))
    init, model = modelled(Experts)

    def loss(params: Params, key: jax.Array, size: int = 64) -> jax.Array:
        x = jax.random.normal(key, (size, 8))
        rule = rules[2 * (x[:, 0] > 0) + (x[:, 1] > 0)]
        return jnp.square(model(params)(x) - (rule * x).sum(axis=-1)).mean()

    return Task(init, loss, partial(loss, key=jax.random.key(27), size=2000))
