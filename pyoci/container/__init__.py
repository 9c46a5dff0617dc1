"""What the commands do with containers: create, start, exec, kill, delete and so on; state.json and its lock."""
