"""Reading: a Keras model becomes a recorded network, which every reader can be run over."""
