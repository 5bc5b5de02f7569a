"""`python -m keras_effnet` is `keras-effnet`."""

from keras_effnet.cli.main import run

if __name__ == "__main__":
    run()
