"""How well heads are drawn in other poses: clips to be made again from a few of their frames, rows, figures, table"""
