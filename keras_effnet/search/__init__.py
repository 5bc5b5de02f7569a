"""Searches for what the paper searched for: the coefficients of a scaling rule, and the baseline that is scaled.

| file | holds |
|---|---|
| `candidates.py`, `plan.py` | what is tried; jobs, rows, and which job comes next |
| `coefficients.py`, `ladder.py` | the grid of (alpha, beta, gamma); successive halving |
| `space.py`, `limits.py` | the factorised space; what a network may cost |
| `reward.py`, `evolution.py` | what is maximised; regularised evolution |
| `training.py`, `scores.py`, `flow.py` | what a candidate is worth: by short training, by scores without training |
| `store.py`, `worker.py`, `crew.py`, `cluster.py`, `driver.py` | the engine, on Optuna |
| `records.py`, `tables.py`, `page.py` | what a search leaves for programs, on a terminal, in a browser |
| `plots.py`, `surface.py`, `charts.py` | its images; the surface among them; what they are made of |
"""
