"""What tests/soak is made of: daemons, clients that know what the counters have to be, and memory over time."""
