"""Other people's test suites, run against pyoci and its peers. See README.md beside this file."""
