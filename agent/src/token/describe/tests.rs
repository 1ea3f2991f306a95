use super::*;
use crate::{
    catalogue::tests::shipped_catalogue,
    token::{jwt, secret::Secret},
};

const WRITTEN: &str = "2027-01-15T08:00:00Z";

fn field<'a>(selector: &'a str, label: &'a str, kind: Kind, secret: &'a [u8]) -> Field<'a> {
    Field {
        selector,
        label,
        kind,
        secret,
        protection: None,
        issued: None,
        expires: None,
        written: WRITTEN.parse().ok(),
        file: secret,
    }
}

fn of(store: &str, field: &Field<'_>) -> Facts {
    describe(shipped_catalogue().store(store).unwrap(), field)
}

fn made_up(shape: &str) -> String {
    shape::named(shape).unwrap().made_up(1).unwrap()
}

#[test]
fn the_shape_says_what_the_name_does_not() {
    let token = made_up("github-oauth");
    let facts =
        of("gh-hosts", &field("/*/oauth_token", "/github.com/oauth_token", Kind::AccessToken, token.as_bytes()));
    assert_eq!(facts.kind, Kind::AccessToken);
    assert_eq!(facts.issuer.as_deref(), Some("github.com"));
    assert_eq!((facts.subject, facts.lifetime), (Subject::Person, Lifetime::LongLived));
    assert_eq!((facts.expires, facts.protection), (None, Protection::Plain));
    // Without a host in the label the shape names the issuer.
    let facts = of("gh-hosts", &field("/x/oauth_token", "/x/oauth_token", Kind::AccessToken, token.as_bytes()));
    assert_eq!(facts.issuer.as_deref(), Some("GitHub"));
}

#[test]
fn the_label_names_the_host() {
    for (selector, label, host) in [
        ("machine *#password", "machine api.test.invalid#password", Some("api.test.invalid")),
        ("/auths/*/auth", "/auths/https:~1~1registry.test.invalid~1v2~1/auth", Some("registry.test.invalid")),
        ("//*/:_authToken", "//npm.test.invalid:8443/:_authToken", Some("npm.test.invalid:8443")),
        ("/auths/*/auth", "/auths/127.0.0.1:5000/auth", Some("127.0.0.1:5000")),
        ("credentials.value", "credentials.value", None),
        ("/accounts/*/token", "/accounts/ann.lee@mail.test.invalid/token", None),
        ("/*/token", "/v1.2/token", None),
        ("[*]/password", "[prod]/password", None),
    ] {
        let facts = of("netrc", &field(selector, label, Kind::Password, b"made-up"));
        assert_eq!(facts.issuer.as_deref(), host, "{label}");
    }
}

#[test]
fn claims_count_before_everything_else() {
    let claims = r#"{"iss":"https://id.test.invalid","sub":"system:serviceaccount:a:b","iat":1800000000,"exp":1800003600,"scope":"a b"}"#;
    let token = jwt::made_up(r#"{"alg":"RS256"}"#, claims);
    let mut given = field("/users/*/user/token", "/users/host.invalid/user/token", Kind::AccessToken, token.as_bytes());
    given.expires = "2030-01-01T00:00:00Z".parse().ok();
    let facts = of("kubeconfig", &given);
    assert_eq!(facts.issuer.as_deref(), Some("https://id.test.invalid"));
    assert_eq!((facts.subject, facts.lifetime), (Subject::Machine, Lifetime::Ephemeral));
    assert_eq!(facts.expires, Timestamp::from_second(1_800_003_600).ok());
    assert_eq!(facts.scopes, ["a", "b"]);
    // A year is not ephemeral.
    let token = jwt::made_up(r#"{"alg":"RS256"}"#, r#"{"iat":1800000000,"exp":1831536000}"#);
    let facts =
        of("kubeconfig", &field("/users/*/user/token", "/users/a/user/token", Kind::AccessToken, token.as_bytes()));
    assert_eq!(facts.lifetime, Lifetime::Limited);
}

#[test]
fn a_temporary_key_of_aws_ends_36_hours_after_it_was_written_and_its_secret_with_it() {
    let secret = "wJalrXUtnFEMIK7MDENGbPxRfiCYzzzzzzzzzzzz";
    let token = |profile: &str, name: &str, value: &str| {
        let (selector, label) = (format!("[*]/{name}"), format!("[{profile}]/{name}"));
        let facts = of("aws-credentials", &field(&selector, &label, Kind::ApiKey, value.as_bytes()));
        Token { secret: Secret::from(value.to_owned()), facts }
    };
    let mut tokens = [
        token("prod", "aws_access_key_id", &made_up("aws-access-key")),
        token("prod", "aws_secret_access_key", secret),
        token("sso", "aws_secret_access_key", secret),
        token("sso", "aws_session_token", "made-up"),
        token("id", "aws_access_key_id", &made_up("aws-session-key")),
        token("id", "aws_secret_access_key", secret),
    ];
    together(shipped_catalogue().store("aws-credentials").unwrap(), &mut tokens);
    let end = "2027-01-16T20:00:00Z".parse().ok();
    let told: Vec<_> = tokens.iter().map(|token| (token.facts.lifetime, token.facts.expires)).collect();
    let (long, short) = ((Lifetime::LongLived, None), (Lifetime::Ephemeral, end));
    assert_eq!(told, [long, long, short, short, short, short]);
    // Another's fields of that name say nothing.
    let mut tokens = [token("sso", "session_token", "made-up"), token("sso", "key", secret)];
    together(shipped_catalogue().store("gh-hosts").unwrap(), &mut tokens);
    assert_eq!(tokens[1].facts.lifetime, Lifetime::LongLived);
}

#[test]
fn a_key_says_whether_a_passphrase_protects_it() {
    let keys = include_str!("../pem/testdata/keys.txt");
    let text = |name: &str| {
        let line = keys.lines().find(|line| line.split(" | ").next() == Some(name)).unwrap();
        let mut parts = line.split(" | ").skip(1);
        let (label, body) = (parts.next().unwrap(), parts.next().unwrap());
        format!("-----{} {label}-----\n{body}\n-----{} {label}-----\n", "BEGIN", "END")
    };
    let told = |text: &str| of("ssh-private-keys", &field("*file*", "*file*", Kind::PrivateKey, text.as_bytes()));
    assert_eq!(told(&text("ssh-ed25519")).protection, Protection::Plain);
    assert_eq!(told(&text("ssh-ed25519-sealed")).protection, Protection::Encrypted);
    assert_eq!(told(&text("ssh-ed25519")).lifetime, Lifetime::LongLived);
    // A certificate beside it ends it.
    let (key, both) = (text("ec"), format!("{}{}", text("ec"), text("certificate")));
    let given = field("*file*", "*file*", Kind::PrivateKey, key.as_bytes());
    let facts = of("ssh-private-keys", &Field { file: both.as_bytes(), ..given });
    assert_eq!((facts.lifetime, facts.expires), (Lifetime::Limited, "2027-11-29T23:38:06Z".parse().ok()));
    let facts = of("ssh-private-keys", &given);
    assert_eq!((facts.lifetime, facts.expires), (Lifetime::LongLived, None));
}

#[test]
fn what_the_catalogue_says_fills_the_gaps() {
    let shipped = shipped_catalogue();
    let mut store = shipped.store("gh-hosts").unwrap().clone();
    let given = field("/token", "/token", Kind::AccessToken, b"made-up");
    store.ttl_seconds = Some(3600);
    store.staleness = Staleness::TtlSinceWrite;
    let facts = describe(&store, &given);
    assert_eq!((facts.lifetime, facts.expires), (Lifetime::Ephemeral, "2027-01-15T09:00:00Z".parse().ok()));
    // Of a store with both the lifetime is the access token's.
    store.kind = vec![Kind::AccessToken, Kind::RefreshToken];
    let facts = describe(&store, &Field { kind: Kind::RefreshToken, ..given });
    assert_eq!((facts.lifetime, facts.expires), (Lifetime::Unknown, None));
    store.staleness = Staleness::ExpiryField;
    let facts = describe(&store, &given);
    assert_eq!((facts.lifetime, facts.expires), (Lifetime::Ephemeral, None));
    // The shape knows better than the store: this one lives for months, and the store's for an hour.
    store.staleness = Staleness::TtlSinceWrite;
    let token = made_up("npm");
    let facts = describe(&store, &Field { secret: token.as_bytes(), ..given });
    assert_eq!((facts.lifetime, facts.expires), (Lifetime::Limited, None));
    store.ttl_seconds = None;
    assert_eq!(describe(&store, &given).lifetime, Lifetime::Unknown);
    assert_eq!(describe(&store, &Field { kind: Kind::Password, ..given }).lifetime, Lifetime::LongLived);
}

#[test]
fn ciphertext_is_told_from_what_keeps_nobody_out() {
    for (secret, protection) in [
        ("made-up", Protection::Plain),
        ("ENC[AES256_GCM,data:abc,iv:def,tag:ghi,type:str]", Protection::Encrypted),
        ("$ANSIBLE_VAULT;1.1;AES256\n6162", Protection::Encrypted),
        ("{AQAAABAAAAAQabc}", Protection::Obfuscated),
    ] {
        let facts = of("netrc", &field("machine *#password", "machine a#password", Kind::Password, secret.as_bytes()));
        assert_eq!(facts.protection, protection, "{secret}");
    }
}
