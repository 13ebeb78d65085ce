"""The peers. Each module has `seed(number)`, which fills the database and yields `id secret` of each key;
`application()`; and `INTERFACE`, by which Granian calls it.
"""
