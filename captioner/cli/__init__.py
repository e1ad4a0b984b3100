"""The parts of the command line; `captioner.__main__` puts them together."""
