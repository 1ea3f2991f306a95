//! The credential stores we know and who may read them.
