"""State folders: atomic units of files, locks, checkpoints and snapshots."""
