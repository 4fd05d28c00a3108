"""What a neuron is: its file or its Python module, read and checked."""
