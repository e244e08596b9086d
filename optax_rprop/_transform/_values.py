"""Values in a state that no step leads to, wherever it is nested."""

from typing import Any

import jax

from optax_rprop._transform import _checks
from optax_rprop._transform._arrays import RpropState
from optax_rprop._transform._bounds import BoxState
from optax_rprop._transform._eight_bit import Rprop8bitState
from optax_rprop._transform._units import UnitsState

_FIELDS: dict[type, tuple[str, ...]] = {
    RpropState: ("step_sizes", "prev_signs"),
    Rprop8bitState: ("codes", "min_step_size"),
    BoxState: ("held",),
    UnitsState: ("units",),
}


def check_values(caller: str, hint: str, opt_state: Any) -> None:
    """Raise unless all states in ``opt_state`` have values that a step can lead to."""
    _check_fields(caller, hint, "", opt_state)
    _checks.orthogonal(caller, hint, "", opt_state)


def _check_fields(caller: str, hint: str, where: str, opt_state: Any) -> None:
    """``where`` is the path of ``opt_state`` inside another state."""

    def is_known(node: Any) -> bool:
        return type(node) in _FIELDS

    for path, state in jax.tree.leaves_with_path(opt_state, is_leaf=is_known):
        if not is_known(state):
            continue
        place = where + jax.tree_util.keystr(path)
        fields = {name: getattr(state, name) for name in _FIELDS[type(state)]}
        _checks.values(caller, hint, place, **fields)
        if hasattr(state, "inner_state"):
            _check_fields(caller, hint, f"{place}.inner_state", state.inner_state)
