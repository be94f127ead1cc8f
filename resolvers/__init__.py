"""Batch resolvers: the reads that GraphQL, REST, the pages and the command line share."""
