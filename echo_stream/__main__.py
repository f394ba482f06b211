"""Run the command line as `python -m echo_stream`."""

from echo_stream.cli.main import main

main()
