"""The operators' dashboard and the figures on the pages of tenants, agents and keys.

gauges    numbers that are counted now and then
figures   everything that a page shows, in few queries
charts    series as the pages' script and tables get them
views     the series as JSON, for operators
"""
