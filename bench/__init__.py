"""The measures: each figure as a ratio against a floor that is measured in the same run. See README.md."""
