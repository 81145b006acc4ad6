"""Build and describe the starter lab."""
