"""Tables, their scores, and the searches over orders and graphs."""
