"""Commands about the cluster, its home, its neurons and its models."""
