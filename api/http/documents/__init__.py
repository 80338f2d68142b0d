"""The documents: OpenAPI of HTTP, AsyncAPI of topics and feed, and the page that shows both."""
