"""Networks compared: what they cost at once, and how well they learn when asked.

| file | holds |
|---|---|
| `contenders.py` | what is compared: names, spec files and models, at every phi by every rule; what each costs |
| `scratch_recipe.py` | how all of them are trained |
| `comparison_runs.py` | the runs, on the engine of the searches, and what they came to |
| `compared.py` | the result: a row for each network, as text, CSV, Markdown and JSON-able values |
| `comparison_plots.py`, `comparison_page.py` | the result as a picture, and as a page |
| `comparison_files.py` | the files: written, and read again |
| `compare_networks.py` | the entry point |
"""
