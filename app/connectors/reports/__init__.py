"""Reports that another service made: documents of past months, from which a history is built."""
