"""The bot's own files, bot_config.toml and model_config.toml: turned into configs, and written from configs.

places      which section of a file is where in a config, and whose version says which schema
old_models  the models inside bot files of 0.5 to 0.9
repairs     values of another type that old versions and people write
importing   both files as one config, with a report of all that is not as it was in them
exporting   a config as both files, with comments
"""
