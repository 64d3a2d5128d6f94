"""What perf/compare is made of: rows (the work and its targets), servers, runs and the table."""
