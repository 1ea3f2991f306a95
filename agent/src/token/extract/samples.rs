//! A made-up sample of the files of many stores, and what is taken out of each: `samples/*.txt`, `samples/expected`.
//!
//! A sample begins with `=== STORE PATH`. In it `{{jwt}}`, `{{base64:TEXT}}`, `{{pem:LABEL}}`, `{{json-pem:LABEL}}` and
//! `{{rest}}` stand for what would look like a real secret to others, and `{{sqlite}}` makes a database of the rest.

#[cfg(test)]
pub(crate) mod tests;
