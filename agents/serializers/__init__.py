"""Serializers of agents, their configs, templates and exports."""
