#!/usr/bin/env python3
"""Prints what pyproject.toml requires, one a line: the dependencies, or the extras named on the command line."""

from __future__ import annotations

import os
import sys
import tomllib

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "pyproject.toml"), "rb") as file:
    project = tomllib.load(file)["project"]

extras = project["optional-dependencies"]
names = sys.argv[1:]
print("\n".join([line for name in names for line in extras[name]] if names else project["dependencies"]))
