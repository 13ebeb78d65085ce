"""Views of people's accounts."""
