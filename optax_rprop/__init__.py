"""Rprop for JAX: the four published rules as an Optax gradient transformation."""

from optax_rprop._transform import VARIANTS, RpropState, rprop, scale_by_rprop

__all__ = ["VARIANTS", "RpropState", "rprop", "scale_by_rprop"]
