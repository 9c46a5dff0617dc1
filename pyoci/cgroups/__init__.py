"""A container's cgroups: made, limited, entered, frozen, emptied and removed, on v1 and on v2."""
