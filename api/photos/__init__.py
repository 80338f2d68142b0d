"""What people and programs may do with photos. Knows no HTTP."""
