"""Connection weights and the choice of the next neuron."""
