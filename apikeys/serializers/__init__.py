"""Serializers of API keys and their usage."""
