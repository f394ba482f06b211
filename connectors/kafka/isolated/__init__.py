"""Decode messages in a child process, which a message can kill without further harm."""
