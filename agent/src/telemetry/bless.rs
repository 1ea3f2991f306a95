//! Generated pages: a test compares, and writes them anew when `TOKENHOUND_BLESS=1`.

/// Fails unless the file at `path` (from the root of the repository) holds `text`.
pub(crate) fn compare(path: &str, text: &str) {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if std::env::var_os("TOKENHOUND_BLESS").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == text, "{path} is out of date: run the tests with TOKENHOUND_BLESS=1 and look at the difference");
}
