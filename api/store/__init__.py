"""The database: tables, transactions, and what several rooms write to them."""
