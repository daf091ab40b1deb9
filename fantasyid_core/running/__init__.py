"""Support for running work: progress and cancelling (`progress`), and the packages that are needed (`packages`)."""
