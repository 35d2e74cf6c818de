"""Heads of photos that move: whence their motion comes, and the picture turned by it."""
