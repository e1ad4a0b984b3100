"""The command line, in parts; `captioner.__main__` puts them together."""
