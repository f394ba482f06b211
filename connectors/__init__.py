"""Everything that touches the outside: Kafka, files, codecs, state folders, processes."""
