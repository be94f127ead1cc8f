"""The rules of the report: months, sizes, events, timelines. Pure: no I/O, no clock."""
