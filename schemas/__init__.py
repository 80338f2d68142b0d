"""The contract: topics, events, renditions, storage keys, faults. Pure: no I/O, imports nothing of ours."""
