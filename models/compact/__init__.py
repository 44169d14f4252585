"""`compact`, the built-in model: two networks, and the projections that join them."""
