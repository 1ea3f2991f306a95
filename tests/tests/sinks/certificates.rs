//! An authority of a test's own, with a server's and a client's certificate.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tokenhound_tests::process;

/// Files in a directory: `ca.pem`, and a `.pem` and `.key` for each name.
pub(crate) struct Certificates {
    directory: PathBuf,
}

impl Certificates {
    /// Makes them with openssl.
    pub(crate) fn make(directory: &Path) -> Self {
        let made = Self { directory: directory.to_owned() };
        openssl(directory, &["req", "-x509", "-subj", "/CN=test authority", "-days", "2", "-out", "ca.pem"], "ca.key");
        for name in ["server", "client"] {
            let names = directory.join(format!("{name}.ext"));
            fs::write(&names, "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
            let (key, request) = (format!("{name}.key"), format!("{name}.csr"));
            openssl(directory, &["req", "-subj", "/CN=localhost", "-out", &request], &key);
            let mut sign = Command::new("openssl");
            sign.args(["x509", "-req", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]);
            sign.args(["-in", &request, "-extfile", &format!("{name}.ext"), "-out", &format!("{name}.pem")]);
            let ended = process::run(sign.current_dir(directory), b"");
            assert_eq!(ended.code(), 0, "{}", ended.err());
        }
        made
    }

    /// Where a file is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

fn openssl(directory: &Path, arguments: &[&str], key: &str) {
    let mut command = Command::new("openssl");
    command.args(arguments).args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key]);
    let ended = process::run(command.current_dir(directory), b"");
    assert_eq!(ended.code(), 0, "{}", ended.err());
    let only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(directory.join(key), only).unwrap();
}
