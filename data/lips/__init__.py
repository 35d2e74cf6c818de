"""Samples of the systems that read lips: mouths, what they say, whose clips they are."""
