"""The fast path: plain requests of bots, answered below Django."""
