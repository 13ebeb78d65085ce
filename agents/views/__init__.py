"""The agents' views, each for both surfaces."""
