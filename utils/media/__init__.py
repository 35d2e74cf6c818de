"""Files that people look at or listen to: read, written, drawn."""
