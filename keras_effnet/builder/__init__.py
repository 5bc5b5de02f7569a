"""From a finished spec to a flat keras.Model. Importing this imports keras."""
