"""Lip reading measured: what is read of a word, tables, pictures, noise."""
