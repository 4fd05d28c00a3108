"""The cluster's state as a whole: moving it between databases; which hosts share it."""
