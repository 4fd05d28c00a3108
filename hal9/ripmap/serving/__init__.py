"""Answers to other programs: the MCP server, the client of a warm watcher."""
