"""Django's backend for SQLite, whose database only its owner can read."""
