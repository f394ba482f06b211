"""Dead letters: invalid messages, stored in files or in a topic, listed and sent again."""
