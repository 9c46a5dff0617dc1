"""What runs between the caller and the program: terminals, pipes, signals, notify sockets."""
