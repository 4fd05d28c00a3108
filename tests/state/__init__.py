"""State on PostgreSQL: a whole cluster, moves, several daemons."""
