"""The training core: schedules, seeding, compilation, the loop, checkpoints, evaluation and distribution.

Fine-tuning, the search's proxy training and the demonstration are thin clients of it.
"""
