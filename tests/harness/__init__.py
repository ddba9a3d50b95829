"""What the black-box tests stand on: a started Corral, raw HTTP, a slow model, certificates."""
