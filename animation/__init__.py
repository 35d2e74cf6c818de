"""Speech to a moving face, in a stream."""
