"""A transformer for characters in Flax NNX, and its loss in bits."""

import math
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from lab.training import Task
from lab.transformer.protocol import Settings


class Block(nnx.Module):
    """Attention to what came before, then two dense layers, each added to its input."""

    def __init__(self, s: Settings, rngs: nnx.Rngs):
        self.norm1 = nnx.LayerNorm(s.width, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(
            s.heads, s.width, decode=False, rngs=rngs
        )
        self.norm2 = nnx.LayerNorm(s.width, rngs=rngs)
        self.up = nnx.Linear(s.width, 4 * s.width, rngs=rngs)
        self.down = nnx.Linear(4 * s.width, s.width, rngs=rngs)
        self.dropout1 = nnx.Dropout(s.dropout, rngs=rngs)
        self.dropout2 = nnx.Dropout(s.dropout, rngs=rngs)

    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        """From (batch, context, width) to the same."""
        x = x + self.dropout1(self.attention(self.norm1(x), mask=mask))
        return x + self.dropout2(self.down(nnx.gelu(self.up(self.norm2(x)))))


class Transformer(nnx.Module):
    """Logits of the next character at each place, of characters as numbers."""

    def __init__(self, s: Settings, vocabulary: int, rngs: nnx.Rngs):
        # Flax's own, larger embeddings learn more slowly here
        small = nnx.initializers.normal(0.02)
        embed = partial(nnx.Embed, features=s.width, embedding_init=small, rngs=rngs)
        self.character, self.place = embed(vocabulary), embed(s.context)
        self.blocks = nnx.List([Block(s, rngs) for _ in range(s.blocks)])
        self.norm = nnx.LayerNorm(s.width, rngs=rngs)
        self.logits = nnx.Linear(s.width, vocabulary, rngs=rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """From (batch, context) to (batch, context, vocabulary)."""
        x = self.character(tokens) + self.place(jnp.arange(tokens.shape[1]))
        mask = nnx.make_causal_mask(tokens)
        for block in self.blocks:
            x = block(x, mask)
        return self.logits(self.norm(x))


def bits(model: Transformer, batch: jax.Array) -> jax.Array:
    """The loss at each place of (batch, context + 1) characters but the first."""
    batch = batch.astype(jnp.int32)
    logits = model(batch[:, :-1])
    nats = optax.softmax_cross_entropy_with_integer_labels(logits, batch[:, 1:])
    losses: jax.Array = nats / math.log(2)
    return losses


@dataclass(frozen=True)
class Network:
    """What training, range test and scoring ask of one network; equal ones are one."""

    settings: Settings
    vocabulary: int

    @cached_property
    def graph(self) -> Any:
        """The network without its numbers."""
        return nnx.graphdef(nnx.eval_shape(lambda: self._model(0)))

    def start(self, key: jax.Array) -> tuple[Any, Any]:
        """The weights, and what else the model holds: the streams of its dropout."""
        model = self._model(key)
        return nnx.state(model, nnx.Param), nnx.state(model, nnx.Not(nnx.Param))

    def loss_fn(
        self, params: Any, rest: Any, batch: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, Any]:
        """The mean loss of a batch in training, and the rest after it."""
        model = nnx.merge(self.graph, params, rest, copy=True)
        nnx.reseed(model, dropout=key)  # equal seeds drop alike, whatever the arm
        return bits(model, batch).mean(), nnx.state(model, nnx.Not(nnx.Param))

    def score(self, params: Any, rest: Any, batch: jax.Array) -> jax.Array:
        """The loss at each place of a batch, without dropout."""
        model = nnx.merge(self.graph, params, rest, copy=True)
        model.eval()
        return bits(model, batch)

    @cached_property
    def task(self) -> Task:
        """How it is trained: a stretch's figures are its steps' losses."""
        return Task(
            self._init, self._gradient, lambda params, rest, losses, data: losses
        )

    def bits(self, params: Any, rest: Any, windows: Any) -> jax.Array:
        """The mean loss over all places that count."""
        _, streams = rest

        def total(window: tuple[jax.Array, jax.Array]) -> jax.Array:
            losses = self.score(params, streams, window[0][None])[0]
            return jnp.where(window[1], losses, 0).sum()

        totals = jax.lax.map(total, windows, batch_size=64)
        mean: jax.Array = totals.sum() / windows[1].sum()
        return mean

    def _init(self, key: jax.Array) -> tuple[Any, Any]:
        params, streams = self.start(key)
        return params, (key, streams)

    def _gradient(self, params: Any, rest: Any, batch: Any, data: Any) -> Any:
        """That of a batch's loss, the loss, and the rest after it."""
        key, streams = rest
        key, dropout_key = jax.random.split(key)
        (loss, streams), gradients = jax.value_and_grad(self.loss_fn, has_aux=True)(
            params, streams, batch, dropout_key
        )
        return gradients, loss, (key, streams)

    def _model(self, key: Any) -> Transformer:
        rngs = nnx.Rngs(params=key, dropout=key)
        return Transformer(self.settings, self.vocabulary, rngs)
