"""Weights as modules: `adapter` (FantasyID's own), `transformer` (CogVideoX), `lora`."""
