"""The formats of times that operators see: short, sortable, and with the zone."""

DATETIME_FORMAT = "Y-m-d H:i T"
DATE_FORMAT = "Y-m-d"
