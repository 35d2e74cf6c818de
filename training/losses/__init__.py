"""The losses, one module for each system."""
