"""Anycore beside its peers, measured in one run. Here live load, targets and report; no test and no part of the product."""
