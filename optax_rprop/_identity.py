"""Which rules an optimizer has, so that no other one goes on from its state.

A state holds step sizes and signs, and these look alike for all rules. So ``init`` of
every Rprop says to who listens, through any wrapper, which rule it has for which leaves,
and a ``FitState`` keeps a checksum of what was said.
"""

import contextvars
import functools
import zlib
from typing import Any

import jax
import numpy as np
import optax

RpropRules = tuple[tuple[str, ...], ...]  # each a name, and the paths of its leaves

_heard: contextvars.ContextVar[list[tuple[str, ...]] | None] = contextvars.ContextVar(
    "heard", default=None
)


def say(rule: str, params: optax.Params) -> None:
    """Called by the ``init`` of every Rprop."""
    heard = _heard.get()
    if heard is not None:
        paths = [path for path, _ in jax.tree.leaves_with_path(params)]
        heard.append((rule, *map(jax.tree_util.keystr, paths)))


def rules_of(optimizer: optax.GradientTransformation, params: optax.Params) -> RpropRules:
    """The rules of every Rprop in ``optimizer``; empty where there is none."""
    shapes, structure = jax.tree.flatten(jax.eval_shape(_same, params))
    return _rules_of(optimizer, structure, tuple(shapes))


def _same(params: Any) -> Any:
    return params


@functools.lru_cache
def _rules_of(optimizer: Any, structure: Any, shapes: tuple[Any, ...]) -> RpropRules:
    token = _heard.set([])
    try:
        # A new function: of one that it knows, JAX would not call init again.
        jax.eval_shape(lambda p: optimizer.init(p), structure.unflatten(shapes))
        heard = sorted(_heard.get() or [])
        # One rule for all leaves needs no paths: another model has another structure.
        return tuple(heard) if len(heard) > 1 else tuple(said[:1] for said in heard)
    finally:
        _heard.reset(token)


def checksum(rules: RpropRules) -> np.uint32:
    """A number for a state to keep, the same in every version."""
    return np.uint32(zlib.crc32(repr(rules).encode()))
