"""What draws and prints docs/results.md."""
