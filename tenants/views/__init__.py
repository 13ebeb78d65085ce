"""Views of tenants, and of accounts with their tenants."""
