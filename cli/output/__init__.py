"""What is printed: results as JSON or tables on stdout, progress and log lines on stderr."""
