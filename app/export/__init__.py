"""Exports of reports: typed rows, read once from the resolvers, and a writer for each format."""
