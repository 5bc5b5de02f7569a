"""The command line: `keras-effnet COMMAND`, also `python -m keras_effnet COMMAND`."""
