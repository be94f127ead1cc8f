"""Tables in files: exports and inventories in CSV or Parquet, whose rows become events."""
