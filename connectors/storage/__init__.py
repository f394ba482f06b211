"""State folders: units that exist whole or not at all, locks, checkpoints and snapshots."""
