"""Making the container's process: the handshake with it, its main function, the helper."""
