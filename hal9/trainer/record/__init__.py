"""What a run keeps: its log, its changes, its warning signs."""
