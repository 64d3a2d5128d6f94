"""What tests/disrupt is made of: nodes, the network between them, and clients that look for the master."""
