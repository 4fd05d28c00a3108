"""Several hosts on one PostgreSQL: how much more they do, and what is lost when one of them dies."""
