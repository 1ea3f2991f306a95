//! The signature of a webhook: who sent it, and when.
//!
//! `X-Tokenhound-Signature: v1=` and the HMAC-SHA256 (RFC 2104, in hex) of `v1:TIMESTAMP:BODY`, with the seconds since 1970
//! that `X-Tokenhound-Timestamp` has. A receiver refuses times that are more than five minutes away, so that what
//! somebody has recorded cannot be sent again later; within them it knows an item by its `uid`.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::token::secret::Secret;

/// The two headers of a body that is sent at `seconds` since 1970.
#[must_use]
pub fn headers(key: &Secret, seconds: i64, body: &[u8]) -> Vec<(&'static str, String)> {
    let time = seconds.to_string();
    // A key of any length is a key of HMAC.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose()) else { return Vec::new() };
    for part in [b"v1:", time.as_bytes(), b":", body] {
        mac.update(part);
    }
    let signature = data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes());
    vec![("x-tokenhound-timestamp", time), ("x-tokenhound-signature", format!("v1={signature}"))]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf 'v1:1764493200:{"a":1}' | openssl dgst -sha256 -hmac made-up-key`
    #[test]
    fn it_is_what_openssl_says() {
        let headers = headers(&Secret::from("made-up-key".to_owned()), 1_764_493_200, b"{\"a\":1}");
        assert_eq!(headers[0], ("x-tokenhound-timestamp", "1764493200".to_owned()));
        assert_eq!(headers[1].1, "v1=83f5512f6279bea8040d06de20b2422c77becb58e6bcf8fe72be329f290d6a26");
    }
}
