"""Django's backend for MySQL and MariaDB, with connections that are only ever to a server that takes writes."""
