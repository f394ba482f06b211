"""One module for each format of messages, and one for codecs of the user's own."""
