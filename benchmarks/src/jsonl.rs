//! JSON Lines: one object a line, faults named by file and line.
