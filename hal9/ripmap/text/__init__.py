"""Words: splitting, positions, interned strings, token estimates."""
