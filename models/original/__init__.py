"""The original releases: the names of their tensors, and their landmark bases."""
