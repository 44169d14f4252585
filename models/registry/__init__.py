"""Which models are known by which names, and which files each is made of."""
