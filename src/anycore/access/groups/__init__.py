"""Virtual organisations: a tree of groups, how it is kept in the store, and how the groups of an identity are looked up."""
