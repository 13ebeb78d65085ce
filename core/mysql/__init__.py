"""Django's backend for MySQL and MariaDB, which connects only to servers that take writes."""
