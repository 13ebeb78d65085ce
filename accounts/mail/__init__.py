"""Mail to people: a queue in the database, the texts, and the sender (docs/decisions/0035-mail.md)."""
