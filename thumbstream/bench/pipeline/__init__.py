"""``bench pipeline``: the whole way from a producer's event to its result, beside bare rendering and beside others."""
