"""Files that are whole or absent, and checksummed trees of arrays in HDF5."""
