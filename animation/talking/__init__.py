"""From a photo or a video of somebody, and speech, to a video of them speaking: what demo.py and app.py call."""
