"""The loop on the device: evaluate, remember the best, step, until there is a reason."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from optax_rprop import _checks, _fit_checks, _stop
from optax_rprop._diagnostics import diagnose, rprop_states
from optax_rprop._gradients import full_batch, loss_and_aux, value_and_grad
from optax_rprop._identity import checksum, rules_of
from optax_rprop._result import FitHistory, FitResult, FitState, FitStatus
from optax_rprop._stop import Rules


class Problem(NamedTuple):
    """What a loop is compiled for; hashable."""

    loss_fn: Callable[..., Any]
    optimizer: optax.GradientTransformation
    max_steps: int
    microbatch_size: int | None
    has_aux: bool
    history: bool

    def loss_and_aux(self) -> Callable[..., Any]:
        """The loss as a function that returns a pair, whatever ``has_aux`` says."""
        return loss_and_aux(self.loss_fn, self.has_aux)

    def transformation(self) -> optax.GradientTransformationExtraArgs:
        """The optimizer as one that takes ``value=``, ``grad=`` and ``value_fn=``."""
        return optax.with_extra_args_support(self.optimizer)


class Carry(NamedTuple):
    """What one step hands to the next; ``status`` is MAX_STEPS until there is another."""

    state: FitState
    loss: jax.Array
    num_steps: jax.Array
    status: jax.Array


def start(
    problem: Problem,
    rules: Rules,
    params: optax.Params,
    args: tuple[Any, ...],
    resume: FitState | None,
) -> Carry:
    """The carry before the first step, of a new state or of the one to go on from."""
    _checks.parameters("fit", params)
    _fit_checks.something_to_fit("fit", params)
    if problem.microbatch_size is not None:
        _fit_checks.batch("fit", "args", args)
    params = jax.tree.map(lambda p: jnp.asarray(p, jnp.result_type(p)), params)
    if problem.has_aux:
        _fit_checks.pair("fit", jax.eval_shape(problem.loss_fn, params, *args))
    loss, aux = jax.eval_shape(problem.loss_and_aux(), params, *args)
    _fit_checks.loss_output("fit", loss)
    optimizer = problem.transformation()

    def new_state() -> FitState:
        infinite = jnp.full((), jnp.inf, loss.dtype)
        return FitState(
            params=params,
            opt_state=optimizer.init(params),
            best_params=params,
            best_loss=infinite,
            best_aux=jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), aux),
            reference_loss=infinite,
            stalled_steps=jnp.zeros((), jnp.int32),
            nonfinite_steps=jnp.zeros((), jnp.int32),
            rules=jnp.asarray(checksum(rules_of(optimizer, params))),
        )

    if resume is None:
        state = new_state()
    else:
        _fit_checks.resume("fit", resume, jax.eval_shape(new_state))
        state = resume
    if not rprop_states(state.opt_state):
        _fit_checks.no_step_tol("fit", rules.step_tol)

    return Carry(
        state=state,
        loss=jnp.full((), jnp.nan, loss.dtype),
        num_steps=jnp.zeros((), jnp.int32),
        status=jnp.asarray(int(FitStatus.MAX_STEPS), jnp.int32),
    )


def _step(
    problem: Problem, rules: Rules, args: tuple[Any, ...], carry: Carry
) -> tuple[Carry, FitHistory]:
    """Evaluate, remember the best, step, and look for a reason to stop."""
    state = carry.state
    evaluate = value_and_grad(problem.loss_and_aux(), problem.microbatch_size)
    (loss, aux), grads = evaluate(state.params, *args)
    finite = jnp.isfinite(loss)
    best_params, best_loss, best_aux = _where(
        finite & (loss < state.best_loss),
        (state.params, loss, aux),
        (state.best_params, state.best_loss, state.best_aux),
    )

    optimizer = problem.transformation()
    loss_of = full_batch(problem.loss_and_aux(), problem.microbatch_size)
    updates, opt_state = optimizer.update(
        grads,
        state.opt_state,
        state.params,
        value=loss,
        grad=grads,
        value_fn=lambda params: loss_of(params, *args)[0],
    )
    params = optax.apply_updates(state.params, updates)

    is_rprop = bool(rprop_states(opt_state))
    nonfinite_steps = jnp.where(finite, 0, state.nonfinite_steps + 1)
    if is_rprop:
        # The first time, Rprop itself has taken the step back. rprop+ and irprop+ may
        # have undone a part of that step before, and then there is no way back but to
        # the best. Where not even that is finite, there is nothing to go back to.
        go_back, hopeless = nonfinite_steps > 1, nonfinite_steps > 2
    else:
        go_back = hopeless = ~finite
        opt_state = _where(finite, opt_state, state.opt_state)
    params = _where(go_back, best_params, params)

    reference, stalled_steps = _stop.stalled(rules, state, loss)
    sizes = diagnose(grads, state.opt_state, opt_state) if is_rprop else None
    carry = Carry(
        state=FitState(
            params=params,
            opt_state=opt_state,
            best_params=best_params,
            best_loss=best_loss,
            best_aux=best_aux,
            reference_loss=reference,
            stalled_steps=stalled_steps,
            nonfinite_steps=nonfinite_steps,
            rules=state.rules,
        ),
        loss=loss,
        num_steps=carry.num_steps + 1,
        status=_stop.first(
            _stop.reasons(rules, loss, grads, hopeless, sizes, stalled_steps),
            carry.status,
        ),
    )
    if sizes is None:
        return carry, FitHistory(loss, None, None, None)
    return carry, FitHistory(
        loss, sizes.step_size_mean, sizes.step_size_max, sizes.flip_fraction
    )


# The history is written in blocks, for XLA runs the loop of a small problem on the CPU in
# one thread, several times faster, as long as no array in it is larger than 512 bytes.
BLOCK = 128


def block(
    problem: Problem,
    rules: Rules,
    args: tuple[Any, ...],
    carry: Carry,
    stop_at: jax.typing.ArrayLike,
) -> tuple[Carry, FitHistory | None]:
    """Step until a reason to stop, ``stop_at`` steps or the end of a block of history."""
    first = carry.num_steps
    step = functools.partial(_step, problem, rules, args)
    if problem.history:
        stop_at = jnp.minimum(stop_at, first + BLOCK)

    def body(
        inner: tuple[Carry, FitHistory | None],
    ) -> tuple[Carry, FitHistory | None]:
        carry, history = inner
        i = carry.num_steps - first
        carry, seen = step(carry)
        if history is not None:
            history = jax.tree.map(lambda h, new: h.at[i].set(new), history, seen)
        return carry, history

    history = None
    if problem.history:
        _, seen = jax.eval_shape(step, carry)
        history = jax.tree.map(lambda s: jnp.full(BLOCK, jnp.nan, s.dtype), seen)
    return jax.lax.while_loop(
        lambda c: (c[0].status == int(FitStatus.MAX_STEPS)) & (c[0].num_steps < stop_at),
        body,
        (carry, history),
    )


def finish(
    problem: Problem,
    rules: Rules,
    args: tuple[Any, ...],
    carry: Carry,
    history: FitHistory | None,
) -> FitResult:
    """The result: the best of all steps and of the parameters after the last one."""
    state = carry.state
    # Not kept in the state: going on evaluates these parameters as any others.
    loss_of = full_batch(problem.loss_and_aux(), problem.microbatch_size)
    loss, aux = loss_of(state.params, *args)
    params, loss, aux = _where(
        jnp.isfinite(loss) & (loss < state.best_loss),
        (state.params, loss, aux),
        (state.best_params, state.best_loss, state.best_aux),
    )
    status = carry.status
    if rules.target_loss is not None:
        reached = loss <= jnp.asarray(rules.target_loss, loss.dtype)
        reached &= status == int(FitStatus.MAX_STEPS)
        status = jnp.where(reached, int(FitStatus.TARGET_REACHED), status)
    return FitResult(
        params=params,
        loss=loss,
        num_steps=carry.num_steps,
        status=status,
        history=history,
        last=state,
        aux=aux,
    )


def run(
    problem: Problem,
    rules: Rules,
    params: optax.Params,
    args: tuple[Any, ...],
    resume: FitState | None,
) -> FitResult:
    """The whole fit, from start to finish, with no word in between."""
    carry = start(problem, rules, params, args, resume)
    if not problem.history:
        carry, history = block(problem, rules, args, carry, problem.max_steps)
    else:
        carry, blocks = jax.lax.scan(
            lambda carry, _: block(problem, rules, args, carry, problem.max_steps),
            carry,
            length=-(-problem.max_steps // BLOCK),
        )
        history = jax.tree.map(lambda b: b.reshape(-1)[: problem.max_steps], blocks)
    return finish(problem, rules, args, carry, history)


def _where(condition: jax.Array, this: Any, that: Any) -> Any:
    """``jnp.where`` for trees, with a scalar condition."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), this, that)
