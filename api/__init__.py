"""The api: result events to the database, the database to HTTP and to the WebSocket feed."""
