"""Amplitude networks at work: proposals of Markov chains, samples, log Z, a negative phase."""
