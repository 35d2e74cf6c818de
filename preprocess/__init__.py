"""From a raw corpus to a clip store: `python -m preprocess.grid`, `preprocess.lrw`, then `preprocess.pca`."""
