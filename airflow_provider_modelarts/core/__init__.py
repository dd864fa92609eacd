"""Everything that can be a function of values: stdlib only, no I/O, no clock, no Airflow."""
