"""From a folder of pictures to a signed-off int8 bundle: `python -m training COMMAND`. Never imported by the daemon.

The data's way, one module a station::

    dataset → overlap → prepare → (quilt, surfaces, tiles) → augment → feed → network → train → signoff → bundle
                                                                                      ↘ rounding → quantize → unknown ↗
    evaluate, line and measures judge a bundle; crossval repeats the way by folds; explain draws one tile.
"""
