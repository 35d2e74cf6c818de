"""Networks that read lips: the front-end that they share, and lip-to-speech's generator and judges."""
