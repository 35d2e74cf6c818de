"""The browser page of app.py: its limits, its files, its queue of one, its looks."""
