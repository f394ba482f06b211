"""The command line: each command reads options, calls the library, prints its result."""
