"""The known parts of a config, a module for each subject."""
