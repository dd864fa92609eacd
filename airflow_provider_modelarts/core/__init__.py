"""Pure functions of values: standard library only, no I/O, no clock, no module state, no Airflow."""
