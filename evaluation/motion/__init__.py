"""Head motion against that of true heads: how much, how fast, at which frequencies, and when."""
