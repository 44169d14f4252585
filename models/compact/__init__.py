"""`compact`, the built-in model: its two networks, and what joins them."""
