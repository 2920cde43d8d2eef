"""From a folder of pictures to a signed-off int8 bundle: `python -m training COMMAND`. Never imported by the daemon.

The folders are in the order of the data's way, and each imports only those before it::

    data → tiles → network → int8 → bundle → judge

`own` goes the whole way from an existing model (fine-tuning); `judge.crossval` repeats it by folds.
"""
