"""The store that is there without asking: LMDB. Many processes, crash-safe, readers that wait for nobody.

store           what programs use
transaction     what is written, and how it is committed
watch           who is told of changes, across processes
environment     LMDB's map of the file: opened, grown, forked with
shared          which environments this process has open
maintenance     compact and check
"""
