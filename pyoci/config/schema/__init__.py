"""The specification's JSON schema as a table made by the build, and the walk over it."""
