"""The token service: `doors` speak HTTP, `services` decide, `store` remembers, `audit` proves it. Extra `server`."""
