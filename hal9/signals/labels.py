"""Labels of a task that say how its workspace is to be used."""

__all__ = ["ALLOW_HOME", "ENVIRONMENT", "FOLLOWS", "REVIEW", "SEEN_AS"]

# The Python environment (`VIRTUAL_ENV`) that was active when the task was given.
ENVIRONMENT = "workspace.environment"
# "yes": the user's home or a home of HAL9 may be the workspace; secrets are left out.
ALLOW_HOME = "workspace.allow_home"
# The id of the task that this one goes on with.
FOLLOWS = "follows"
# "yes": changes are kept for `hal9 apply`, the workspace stays as it is.
REVIEW = "workspace.review"
# The original's path, when the workspace is itself a copy of it.
SEEN_AS = "workspace.seen_as"
