"""Labels of a task that say how its workspace is to be used, and how a part of it belongs to the whole."""

__all__ = [
    "AFTER",
    "ALLOW_HOME",
    "BEGINS_WITH",
    "DIVIDE",
    "ENVIRONMENT",
    "FOLLOWS",
    "MENDS",
    "PART_SIGNAL",
    "REVIEW",
    "SEEN_AS",
    "STAGED",
    "TO",
    "WORKLOAD_FOLDER",
    "WORKSPACE_AT",
    "WORKSPACE_IS",
]

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
# "yes": strategy and design look at the task and may divide it, however short it is.
DIVIDE = "divide"
# The name under which a part's changes are kept, to be merged by whoever divided the task.
STAGED = "part.staged"
# Numbers of the parts (from 0) whose changes a part begins with: "0,2".
AFTER = "part.after"
# Where these changes lie, below the folder of the task's change sets.
BEGINS_WITH = "part.begins_with"
# "yes": the part brings together what other parts left apart.
MENDS = "part.mends"
# The id of the signal a part is sent with, fixed when the task is divided: sent twice it arrives once.
PART_SIGNAL = "part.signal"
# The neuron that the task is given to, past the layers above it.
TO = "to"
# The folder that a workload's module was found in, when the interpreter does not look there by itself.
WORKLOAD_FOLDER = "workload.folder"
# The node whose machine has the workspace: others get it from there, and give their changes back to it.
WORKSPACE_AT = "workspace.at"
# Which folder it is there, so that one of the same name elsewhere is not taken for it.
WORKSPACE_IS = "workspace.is"
