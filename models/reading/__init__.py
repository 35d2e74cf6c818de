"""The lip reader: memory, back-ends, the network of both."""
