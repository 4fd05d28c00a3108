"""What other agents call: an answer before and after a tool call and at a start; and an MCP server."""
