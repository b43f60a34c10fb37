"""`make faults`: three replicas, one PostgreSQL, ten thousand exchanges for each thing that goes wrong."""
