"""What the scripts share: rows (the work and its targets), servers, nodes, clients, runs and the table."""
