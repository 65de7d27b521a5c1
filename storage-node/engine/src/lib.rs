//! Tablets, the log store and the object tier: everything that survives a process.
