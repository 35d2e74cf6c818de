"""Heads that move: their poses, and the samples of the systems that learn from them."""
