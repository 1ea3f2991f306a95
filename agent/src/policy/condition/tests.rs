use super::*;

fn error(text: &str) -> String {
    Condition::compile(text).map(|_| ()).expect_err(text).to_string()
}

#[test]
fn what_is_not_let_in_is_named_with_its_place() {
    for (text, said) in [
        ("redaer == '/usr/bin/aws'", "character 1: no variable \"redaer\"; did you mean \"reader\"?"),
        ("terminal && zzz", "character 13: no variable \"zzz\"; known are stores,"),
        ("uid == '0'", "\"==\" does not go with a number and text"),
        ("uid", "it must be true or false, this is a number"),
        ("uid + 1 == 2", "\"+\" is not let in; there are ! &&"),
        ("args[0] == 'x'", "is not let in"),
        ("reader.path == 'x'", "nothing has a field \"path\""),
        ("has(reader.path)", "nothing has a field \"path\""),
        ("{'a': 1} == {'a': 1}", "maps and messages are not used here"),
        ("1.5 == 1.5", "only texts, whole numbers, true and false"),
        ("'x' in []", "an empty list holds for nothing"),
        ("'x' in ['a', 1]", "a list holds texts only or numbers only"),
        ("args.map(a, a) == args", "only LIST.exists(x, ...) and LIST.all(x, ...)"),
        ("args.filter(a, a == 'x').size() > 0", "only LIST.exists(x, ...) and LIST.all(x, ...)"),
        ("args.exists_one(a, a == 'x')", "only LIST.exists(x, ...) and LIST.all(x, ...)"),
        ("args.exists(a, ancestors.exists(b, a == b))", "a list within a list is not gone through"),
        ("args.exists(uid, uid == 'x')", "\"uid\" is a variable already"),
        ("args.exists(a, a)", "it must be true or false, this is text"),
        ("reader.exists(a, a == 'x')", "it must be a list, this is text"),
        ("reader.matches('a.*')", "\"matches\" is not let in"),
        ("timestamp('2026-01-01T00:00:00Z') == x", "\"timestamp\" is not let in"),
        ("startsWith(reader, '/usr')", "\"startsWith\" does not go with text and text"),
        ("a ==", "the condition is wrong at character"),
        ("", "the condition is wrong at character"),
    ] {
        let error = error(text);
        assert!(error.contains(said), "{text}: {error}");
    }
}

#[test]
fn size_and_depth_have_a_bound() {
    assert!(error(&format!("reader == '{}'", "x".repeat(MAX_TEXT))).contains("longer than 1024 characters"));
    assert!(error(&vec!["uid==1"; 100].join("||")).contains("more than 256 parts"));
    for (open, close, begin) in
        [("(", ")", ""), ("[", "]", "1 in "), ("true ? true : ", "", ""), ("true && (", ")", "")]
    {
        let nested = |depth: usize| format!("{begin}{}true{}", open.repeat(depth), close.repeat(depth));
        assert!(Condition::compile(&nested(70)).is_err(), "{open}");
        if begin.is_empty() {
            assert_eq!(Condition::compile(&nested(usize::from(MAX_DEPTH) - 4)).map(|_| ()), Ok(()), "{open}");
        }
    }
    assert!(
        error(&format!("{}true{}", "(".repeat(13), ")".repeat(13))).contains("13: brackets are nested more than 12")
    );
}

#[test]
fn what_asks_nothing_is_known_at_once() {
    assert_eq!(Condition::compile("1 < 2 && 'a' in ['a']").unwrap().constant(), Some(true));
    assert_eq!(Condition::compile("['a', 'b'].all(x, x == 'a')").unwrap().constant(), Some(false));
    assert_eq!(Condition::compile("1 < 2 || terminal").unwrap().constant(), None);
}

/// Whatever is written there: an answer or an error, and no panic, which would be the end of the agent.
#[test]
fn any_text_is_an_answer_or_an_error() {
    let seeds = [
        "args.exists(a, a.startsWith('--x')) && reader == '/usr/bin/aws'",
        "!(uid in [0, 1000]) || hour >= 22 && 'npm' in ancestors",
        "size(args) > 2 ? terminal : {'a': b'c'}.x[1u] == 2.5e3",
    ];
    let bits =
        ["(", ")", "[", "{", ".", "'", "\"", "!", "&&", "in ", "?", "\\u12", "é", "\n", "//", "has(", "0x", "`", "-"];
    let mut state = 88_172_645_463_325_252u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let mut read = 0;
    for _ in 0..2_000 {
        let mut text: Vec<char> = seeds[next(seeds.len())].chars().collect();
        for _ in 0..=next(4) {
            let at = next(text.len() + 1);
            match next(3) {
                0 if at < text.len() => drop(text.remove(at)),
                1 => text.truncate(at),
                _ => drop(text.splice(at..at, bits[next(bits.len())].chars())),
            }
        }
        read += usize::from(Condition::compile(&text.into_iter().collect::<String>()).is_ok());
    }
    assert!(read > 50, "{read} of them could be read");
}
