//! Exceptions: accesses that are unexpected by the catalogue and accepted by the operator.
