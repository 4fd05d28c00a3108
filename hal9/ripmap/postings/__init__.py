"""What each file contributes, and how the files' shares are joined and patched."""
