"""The store that is there without asking: LMDB. Many processes, crash-safe, readers that wait for nobody.

store           what programs use
transaction     what is written, and how it is committed
watch           who is told of changes, across processes
environment     LMDB's map of the file: opened, grown, forked with
gate            what keeps transactions, and whoever must be alone, apart
problems        what LMDB's errors mean
changes         the log of what the last transactions have changed
shared          which environments this process has open
maintenance     compact and check
"""
