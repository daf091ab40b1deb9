"""Training of FantasyID on own data."""
