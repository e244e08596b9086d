"""A gradient in, an update out: Rprop as Optax transformations."""
