"""What the programs of this folder share: figures, child processes, the kernel's counters, tokens and load."""
