"""What a person is shown of learning."""
