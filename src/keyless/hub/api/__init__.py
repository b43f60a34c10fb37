"""The endpoints that `hf` needs, one file per subject. They read requests, ask `access`, and call the store."""
