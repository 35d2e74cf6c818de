"""What the commands that make stores share: clips, pieces of long videos, the loop, its workers, the picture."""
