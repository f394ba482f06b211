"""The process itself: its children, memory, threads, signals, clock and retries."""
