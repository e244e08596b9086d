"""Rprop for JAX: the four published rules as an Optax transformation, and a fit."""

import importlib.metadata

from optax_rprop._fit._fit import fit
from optax_rprop._fit._many import fit_many
from optax_rprop._fit._record import StepRecord
from optax_rprop._fit._result import FitHistory, FitResult, FitState, FitStatus
from optax_rprop._interop._torch import from_torch_state_dict, to_torch_state_dict
from optax_rprop._rule import VARIANTS
from optax_rprop._streaming import streaming_value_and_grad
from optax_rprop._streaming_fit import streaming_fit
from optax_rprop._transform._arrays import RpropState, rprop, scale_by_rprop
from optax_rprop._transform._bounds import BoxState
from optax_rprop._transform._box import in_box
from optax_rprop._transform._eigenbasis import EigenbasisState, in_eigenbasis
from optax_rprop._transform._eight_bit import (
    Rprop8bitState,
    rprop_8bit,
    scale_by_rprop_8bit,
)
from optax_rprop._transform._units import UnitsState, in_units

try:
    __version__ = importlib.metadata.version("optax-rprop")
except importlib.metadata.PackageNotFoundError:  # a copy that was never installed
    __version__ = "unknown"

__all__ = [
    "VARIANTS",
    "BoxState",
    "EigenbasisState",
    "FitHistory",
    "FitResult",
    "FitState",
    "FitStatus",
    "Rprop8bitState",
    "RpropState",
    "StepRecord",
    "UnitsState",
    "fit",
    "fit_many",
    "from_torch_state_dict",
    "in_box",
    "in_eigenbasis",
    "in_units",
    "rprop",
    "rprop_8bit",
    "scale_by_rprop",
    "scale_by_rprop_8bit",
    "streaming_fit",
    "streaming_value_and_grad",
    "to_torch_state_dict",
]
