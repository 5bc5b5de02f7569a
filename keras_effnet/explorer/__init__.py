"""The scaling explorer: one page on which sliders scale a backbone, with the numbers of `estimate_cost`."""
