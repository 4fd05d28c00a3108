"""Commands about the HTTP server: serve, dashboard, tokens."""
