"""An implementing turn: one answer or a loop of actions, applied to the copy and checked."""
