"""Parameters and data in, a result out: the full-batch fit."""
