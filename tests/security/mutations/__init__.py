"""The lines of defence, each with what takes it away.

tools/check_defences.py takes each away in turn and asks whether a test sees it; test_mutations.py checks that the texts
still are what stands in the code; docs/defences.md lists them.
"""

from __future__ import annotations

from tests.security.mutations import cgroups, files, identity, launcher, process, state
from tests.security.mutations.mutation import Change, Mutation

__all__ = ["MUTATIONS", "Change", "Mutation"]

MUTATIONS = (
    *files.MUTATIONS,
    *identity.MUTATIONS,
    *process.MUTATIONS,
    *state.MUTATIONS,
    *cgroups.MUTATIONS,
    *launcher.MUTATIONS,
)
