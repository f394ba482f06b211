"""Train models beside a run: child processes, model files, hooks."""
