//! Loading, attaching and proving the kernel programs.
