//! YAML in, with every error at its place. The only module that knows which parser is used.
