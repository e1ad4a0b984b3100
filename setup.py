"""Which packages are installed: those found here, and the released checkpoint from beside them.

A static list in pyproject.toml would do as well, but would have to name each package.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["captioner*"]), "captioner.released"],
    package_dir={"captioner.released": "checkpoints"},
)
