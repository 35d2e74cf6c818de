"""Parts that every stage shares: landmarks, audio, media, metrics, checkpoints."""
