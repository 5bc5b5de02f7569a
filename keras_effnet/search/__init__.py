"""Searches for what the paper searched for: the coefficients of a scaling rule, and the baseline that is scaled.

Comparisons of networks run their training on the same engine.

| file | holds |
|---|---|
| `candidates.py` | candidates, jobs, trials, and the plan that says which job comes next |
| `coefficient_grid.py`, `successive_halving.py` | the grid of (alpha, beta, gamma); halving, and its finalists |
| `space.py`, `evolution.py` | the factorised space; reward, limits and regularised evolution |
| `comparison_plan.py`, `comparison_training.py` | a comparison: learning rates, then seeds; one run of it |
| `task.py`, `proxy_training.py`, `scores.py` | how good a candidate is: by short training, by scores |
| `store.py`, `worker.py`, `worker_pool.py`, `driver.py` | the engine, on Optuna |
| `records.py`, `search_page.py` | what a search leaves for programs, and for people |
| `searches.py` | the two searches |
"""

from keras_effnet.extras import require

require("search", "a search")
require("train", "a search")
