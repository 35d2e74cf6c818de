"""The clip store, its splits and the datasets that training reads from it."""
