"""From a prepared task to scores of files and symbols."""
