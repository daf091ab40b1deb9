"""While something runs: how far it is and whether it goes on (`progress`), and which packages it needs (`packages`)."""
