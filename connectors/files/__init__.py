"""Data files as sources: npy, npz, Parquet and folders of images."""
