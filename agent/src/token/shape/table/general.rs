//! Formats that are nobody's own.

use super::super::{Issuer, Loose, Shape, UNKNOWN, build::Body};
use crate::catalogue::model::Kind;
use crate::token::model::Lifetime;

const ANYBODY: Issuer = Issuer {
    name: UNKNOWN,
    revoke: "end the session or replace the key with whoever issued it",
    source: "RFC 7519; RFC 7468, RFC 5958, RFC 9580; OpenSSH, PROTOCOL.key; age's specification; PuTTY's manual, appendix C",
};

pub(super) static SHAPES: &[Shape] = &[
    Shape::new("jwt", &ANYBODY, "JSON web token", &["eyJ"], &[])
        .kind(Kind::AccessToken)
        .lives(Lifetime::Unknown)
        .body(Body::Jwt)
        .loose(Loose::Start(6)),
    Shape::new(
        "private-key",
        &ANYBODY,
        "private key",
        &["-----BEGIN ", "AGE-SECRET-KEY-", "PuTTY-User-Key-File-"],
        &[],
    )
    .kind(Kind::PrivateKey)
    .body(Body::Key),
];
