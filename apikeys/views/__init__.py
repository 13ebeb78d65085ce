"""Views of API keys and their usage, for people."""
