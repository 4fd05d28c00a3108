"""Room holograph."""
