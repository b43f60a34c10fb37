"""`keyless demo`: the whole way of a token on one machine, with the real client, in half a minute."""
