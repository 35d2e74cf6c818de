"""How well made speech can be understood: its distance from recordings, and what recognisers make of it."""
