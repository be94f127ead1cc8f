"""Import tables from CSV and Parquet files: exports, inventories and usage logs."""
