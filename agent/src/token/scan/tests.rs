use std::collections::BTreeSet;

use super::*;
use crate::token::{
    fingerprint::{KEY_BYTES, Key},
    secret::Secret,
};

/// Splitmix64: the same numbers at each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn of(&mut self, alphabet: &[u8], length: usize) -> Vec<u8> {
        (0..length).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(length);
        bytes
    }

    /// A token of one of the alphabets that issuers use.
    fn token(&mut self) -> Vec<u8> {
        const ALPHABETS: [&[u8]; 5] = [
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~",
            b"0123456789abcdef",
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
        ];
        let alphabet = ALPHABETS[self.below(ALPHABETS.len())];
        let length = 16 + self.below(64);
        let prefix: &[u8] = [&b""[..], b"ghp_", b"sk-", b"glpat-"][self.below(4)];
        [prefix, &self.of(alphabet, length)].concat()
    }
}

fn key() -> Key {
    Key::new([9; KEY_BYTES])
}

fn needles(token: &[u8]) -> Needles {
    Needles::of(&key(), &Secret::copy(token)).unwrap()
}

fn found(set: &NeedleSet, bytes: &[u8]) -> BTreeSet<Hit> {
    let mut hits = BTreeSet::new();
    set.search(bytes, &mut |hit| assert!(hits.insert(hit), "told twice: {hit:?}"));
    hits
}

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn percent(bytes: &[u8], escape: fn(u8) -> String) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    bytes.iter().map(|byte| if plain(*byte) { char::from(*byte).to_string() } else { escape(*byte) }).collect()
}

/// The token as others would write it, by other code than what derives needles.
fn written(token: &[u8], random: &mut Random) -> Vec<(Vec<Encoding>, Vec<u8>)> {
    use Encoding::*;
    use base64::{Engine as _, engine::general_purpose as b64};
    let (before, after) = (random.below(6), random.below(6));
    let around = [random.bytes(before), token.to_vec(), random.bytes(after)].concat();
    let again = |text: &str, random: &mut Random| {
        let (before, after) = (random.below(6), random.below(6));
        [random.of(b"xyz:", before), text.as_bytes().to_vec(), random.of(b"xyz:", after)].concat()
    };
    let text = std::str::from_utf8(token).unwrap();
    let utf16: Vec<u16> = text.encode_utf16().collect();
    let (standard, url) = (b64::STANDARD.encode(&around), b64::URL_SAFE_NO_PAD.encode(&around));
    let one_of = |kind| vec![Raw, kind];
    vec![
        (vec![Raw], token.to_vec()),
        (vec![Base64Twice], b64::STANDARD.encode(again(&standard, random)).into_bytes()),
        (vec![Base64Twice], b64::URL_SAFE.encode(again(&url, random)).into_bytes()),
        (vec![Base64], standard.into_bytes()),
        (vec![Base64, Base64Url], url.into_bytes()),
        (vec![Hex], around.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes()),
        (vec![Hex], around.iter().map(|byte| format!("{byte:02X}")).collect::<String>().into_bytes()),
        (one_of(Percent), percent(token, |byte| format!("%{byte:02X}")).into_bytes()),
        (one_of(Percent), percent(token, |byte| format!("%{byte:02x}")).into_bytes()),
        (one_of(Json), json(text).into_bytes()),
        (one_of(Json), json(text).replace('/', "\\/").into_bytes()),
        (vec![Utf16], utf16.iter().flat_map(|unit| unit.to_le_bytes()).collect()),
        (vec![Utf16], utf16.iter().flat_map(|unit| unit.to_be_bytes()).collect()),
    ]
}

#[test]
fn ten_thousand_tokens_are_found_in_every_encoding_wherever_the_pieces_end_and_nothing_else_is() {
    let mut random = Random(0x5eed_5ca1);
    let tokens: Vec<Vec<u8>> = (0..10_000).map(|_| random.token()).collect();
    let all: Vec<Needles> = tokens.iter().map(|token| needles(token)).collect();
    let set = NeedleSet::new(&key(), &all);
    assert_eq!((set.len(), set.left_out()), (10_000, 0));

    // One stream with each token once in one of the encodings, between random bytes.
    let mut stream = Vec::new();
    let mut expected = Vec::new();
    for (token, needles) in tokens.iter().zip(&all) {
        let mut ways = written(token, &mut random);
        let (encodings, text) = ways.swap_remove(random.below(13));
        let gap = random.below(200);
        stream.extend(random.bytes(gap));
        expected.push((needles.fingerprint, encodings, stream.len()..stream.len() + text.len()));
        stream.extend(text);
    }
    let whole = found(&set, &stream);

    let mut hits = whole.iter().collect::<Vec<_>>();
    hits.sort_by_key(|hit| hit.offset);
    let mut inside = 0;
    for (fingerprint, encodings, place) in &expected {
        let at = hits.partition_point(|hit| hit.offset < place.start as u64);
        let here: Vec<_> = hits[at..].iter().take_while(|hit| (hit.offset as usize + hit.len) <= place.end).collect();
        assert!(!here.is_empty(), "{encodings:?} at {place:?} was not found");
        // A JSON form that only differs behind its end has the raw one in it.
        inside += here.len();
        for hit in here {
            assert_eq!(hit.fingerprint, *fingerprint);
            assert!(encodings.contains(&hit.encoding), "{hit:?} is one of {encodings:?}");
        }
    }
    assert_eq!(hits.len(), inside, "nothing else is found");

    // The same in pieces.
    for most in [1, 7, 1000, 100_000, 1_000_000] {
        let mut scanner = Scanner::new(&set);
        let mut pieces = BTreeSet::new();
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at((1 + random.below(most)).min(rest.len()));
            scanner.feed(now, &mut |hit| assert!(pieces.insert(hit)));
            rest = later;
        }
        scanner.finish(&mut |hit| assert!(pieces.insert(hit)));
        assert_eq!(pieces, whole, "pieces of at most {most}");
    }
}

#[test]
fn each_token_is_found_in_all_encodings() {
    let mut random = Random(0x5eed_0a11);
    for _ in 0..500 {
        let token = random.token();
        let needles = needles(&token);
        let set = NeedleSet::new(&key(), [&needles]);
        for (encodings, text) in written(&token, &mut random) {
            let hits = found(&set, &text);
            assert!(hits.iter().any(|hit| encodings.contains(&hit.encoding)), "{encodings:?}: {hits:?}");
        }
    }
}

#[test]
fn a_token_that_was_changed_in_one_byte_is_another() {
    let mut random = Random(0x5eed_0b17);
    for _ in 0..500 {
        let token = random.of(b"0123456789abcdefghijklmnopqrstuvwxyz", 40);
        let set = NeedleSet::new(&key(), [&needles(&token)]);
        let mut other = token.clone();
        // Of the first and last two bytes base64 of base64 has a part only.
        let at = 2 + random.below(other.len() - 4);
        other[at] = if other[at] == b'Z' { b'Y' } else { b'Z' };
        for (_, text) in written(&other, &mut random) {
            assert_eq!(found(&set, &text), BTreeSet::new(), "changed at {at}");
        }
    }
}

#[test]
fn random_bytes_hold_no_token() {
    let mut random = Random(0x5eed_0c0d);
    let all: Vec<Needles> = (0..1000).map(|_| needles(&random.token())).collect();
    let set = NeedleSet::new(&key(), &all);
    for _ in 0..8 {
        assert_eq!(found(&set, &random.bytes(1 << 20)), BTreeSet::new());
        assert_eq!(found(&set, &random.of(b"0123456789abcdef", 1 << 18)), BTreeSet::new());
    }
}

#[test]
fn a_long_token_is_found_by_its_core_and_a_key_however_its_lines_end() {
    let mut random = Random(0x5eed_0d0e);
    let jwt = [&b"eyJhbGciOiJSUzI1NiJ9."[..], &random.of(b"abcdefghijkLMNOPQRST0123456789-_", 700)].concat();
    let lines: Vec<Vec<u8>> =
        (0..25).map(|_| random.of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 64)).collect();
    let lines: Vec<String> = lines.into_iter().map(|line| String::from_utf8(line).unwrap()).collect();
    let pem =
        |end: &str| format!("-----BEGIN PRIVATE KEY-----{end}{}{end}-----END PRIVATE KEY-----{end}", lines.join(end));
    let key_needles = needles(pem("\n").as_bytes());
    let all = [needles(&jwt), key_needles.clone()];
    let set = NeedleSet::new(&key(), &all);
    assert_eq!(found(&set, &jwt).len(), 1);
    for end in ["\n", "\r\n", "\\n", "\\\\n", "\n    ", "", " ", "\n> "] {
        let copy = pem(end);
        for text in [copy.clone().into_bytes(), data_encoding::BASE64.encode(copy.as_bytes()).into_bytes()] {
            let hits = found(&set, &text);
            assert_eq!(hits.len(), 1, "lines that end in {end:?}");
            assert!(hits.iter().all(|hit| hit.fingerprint == key_needles.fingerprint));
        }
    }
}

#[test]
fn a_set_has_a_bound_and_counts_what_it_leaves_out() {
    let one = needles(b"k7Q2zX9w4Rp1Lm8v");
    let other = |number: usize| Needles {
        fingerprint: key().fingerprint_of(&number.to_le_bytes()),
        list: Vec::new(),
        lasts: true,
    };
    let many: Vec<Needles> = (0..MOST_TOKENS + 2).map(other).collect();
    // Whatever comes again is no further token.
    let set = NeedleSet::new(&key(), [&one, &one].into_iter().chain(&many).chain(&many));
    assert_eq!((set.len(), set.left_out()), (MOST_TOKENS, 3));
    assert_eq!(found(&set, b"<k7Q2zX9w4Rp1Lm8v>").len(), 1);
    assert!(found(&NeedleSet::new(&key(), []), b"<k7Q2zX9w4Rp1Lm8v>").is_empty());
}

#[test]
fn a_hit_says_where_it_is() {
    let needles = needles(b"k7Q2zX9w4Rp1Lm8v");
    let set = NeedleSet::new(&key(), [&needles]);
    let expected = Hit { fingerprint: needles.fingerprint, encoding: Encoding::Raw, offset: 1_000_003, len: 16 };
    let mut scanner = Scanner::new(&set);
    let mut hits = Vec::new();
    for piece in [&vec![b'x'; 1_000_000][..], b"abck7Q2", b"zX9w4Rp1Lm8v"] {
        scanner.feed(piece, &mut |hit| hits.push(hit));
    }
    scanner.finish(&mut |hit| hits.push(hit));
    assert_eq!(hits, [expected]);
}

/// What `base64 -w`, `xxd -p` and `openssl` write.
fn in_lines(text: &[u8], width: usize, end: &str) -> Vec<u8> {
    text.chunks(width).flat_map(|line| [line, end.as_bytes()].concat()).collect()
}

#[test]
fn line_ends_hide_nothing_wherever_they_fall() {
    let mut random = Random(0x5eed_0e0f);
    for round in 0..600 {
        let token = random.of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", 36);
        let needles = needles(&token);
        let set = NeedleSet::new(&key(), [&needles]);
        let filler = round % 160;
        let text = [random.of(b"abc= ", filler), token, random.of(b"abc= ", 90)].concat();
        let base64 = data_encoding::BASE64.encode(&text);
        let hex = data_encoding::HEXLOWER.encode(&text);
        for (encoding, written, width) in [(Encoding::Base64, base64, 76), (Encoding::Hex, hex, 60)] {
            for end in ["\n", "\r\n", "\n    "] {
                let lines = in_lines(written.as_bytes(), width, end);
                let hits = found(&set, &lines);
                assert_eq!(hits.len(), 1, "{encoding:?} {filler} {end:?}: {hits:?}");
                let mut scanner = Scanner::new(&set);
                let mut pieces = BTreeSet::new();
                for piece in lines.chunks(1 + random.below(50)) {
                    scanner.feed(piece, &mut |hit| assert!(pieces.insert(hit)));
                }
                scanner.finish(&mut |hit| assert!(pieces.insert(hit)));
                assert_eq!(pieces, hits);
                let hit = hits.first().unwrap();
                assert_eq!((hit.encoding, hit.fingerprint), (encoding, needles.fingerprint));
            }
        }
    }
}

#[test]
fn a_key_is_found_in_lines_of_another_length() {
    let mut random = Random(0x5eed_0f0f);
    let body = random.of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 1600);
    let pem = |width| {
        let lines = in_lines(&body, width, "\n");
        [&b"-----BEGIN PRIVATE KEY-----\n"[..], &lines, b"-----END PRIVATE KEY-----\n"].concat()
    };
    let set = NeedleSet::new(&key(), [&needles(&pem(64))]);
    for width in [60, 64, 70, 76, 1600] {
        assert_eq!(found(&set, &pem(width)).len(), 1, "{width}");
    }
}
