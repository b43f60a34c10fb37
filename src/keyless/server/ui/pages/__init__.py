"""One file for each subject: what its pages read, and what their forms change."""
