//! From a bootable x86 image to the ELF file inside it, and its type information.
//!
//! Layout: Documentation/arch/x86/boot.rst in the kernel's source. The payload is the compressed kernel; its format is
//! told by its first bytes.

use std::io::Write as _;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use object::{Object as _, ObjectSection as _};

use crate::cmd;

/// A compression that kernels use: first bytes, how to call the program, Debian's package of it.
const FORMATS: &[(&[u8], &[&str], &str)] = &[
    (&[0x1f, 0x8b], &["gzip", "-dc"], "gzip"),
    (&[0xfd, b'7', b'z', b'X', b'Z'], &["xz", "-dc"], "xz-utils"),
    (&[0x02, 0x21, 0x4c, 0x18], &["lz4", "-dc"], "lz4"),
    (&[0x28, 0xb5, 0x2f, 0xfd], &["zstd", "-dcq"], "zstd"),
];

/// The section `.BTF` of the kernel in `image`.
pub(super) fn btf(image: &[u8]) -> anyhow::Result<Vec<u8>> {
    let kernel = unpack(payload(image)?)?;
    let elf = object::File::parse(kernel.as_slice()).context("the payload is no ELF file")?;
    let section = elf.section_by_name(".BTF").context("the kernel was built without CONFIG_DEBUG_INFO_BTF")?;
    Ok(section.data().context("cannot read section .BTF")?.to_vec())
}

/// The release, as `uname -r` prints it.
pub(super) fn release(image: &[u8]) -> anyhow::Result<String> {
    let at = 0x200 + usize::from(u16::from_le_bytes(field(image, 0x20e)?));
    let text = image.get(at..).unwrap_or_default();
    let word: Vec<u8> = text.iter().copied().take(64).take_while(u8::is_ascii_graphic).collect();
    ensure!(at != 0x200 && !word.is_empty(), "the image does not tell its release");
    Ok(String::from_utf8(word)?)
}

fn payload(image: &[u8]) -> anyhow::Result<&[u8]> {
    let version = u16::from_le_bytes(field(image, 0x206)?);
    if field::<4>(image, 0x202)? != *b"HdrS" || version < 0x208 {
        bail!("this is no bootable x86 kernel of protocol 2.08 or newer");
    }
    let setup_sectors = match field::<1>(image, 0x1f1)? {
        [0] => 4,
        [count] => usize::from(count),
    };
    let start = (setup_sectors + 1) * 512 + u32::from_le_bytes(field(image, 0x248)?) as usize;
    let len = u32::from_le_bytes(field(image, 0x24c)?) as usize;
    image.get(start..).and_then(|rest| rest.get(..len)).context("the image is shorter than its head says")
}

fn field<const LEN: usize>(image: &[u8], at: usize) -> anyhow::Result<[u8; LEN]> {
    let bytes = image.get(at..at + LEN).and_then(|bytes| bytes.try_into().ok());
    bytes.context("this is too short for a kernel")
}

fn unpack(payload: &[u8]) -> anyhow::Result<Vec<u8>> {
    let Some((magic, command, package)) = FORMATS.iter().find(|(magic, ..)| payload.starts_with(magic)) else {
        bail!("the kernel is compressed in a format that is not known here");
    };
    // All but gzip, which has the size in its own format, are followed by the size in four bytes.
    let len = if magic.len() == 2 { payload.len() } else { payload.len().saturating_sub(4) };
    let program = cmd::find(command[0])
        .with_context(|| format!("`{}` is missing: install it (Debian package {package})", command[0]))?;
    let mut file = tempfile::NamedTempFile::new().context("cannot create a temporary file")?;
    file.write_all(&payload[..len]).context("cannot write a temporary file")?;
    let output = Command::new(program).args(&command[1..]).arg(file.path()).output()?;
    if !output.status.success() {
        bail!("{} failed: {}: {}", command[0], output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head with the payload right behind one sector of set-up code.
    fn image(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 1024];
        image[0x1f1] = 1;
        image[0x202..0x208].copy_from_slice(b"HdrS\x0f\x02");
        image[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
        image[0x300..0x30c].copy_from_slice(b"6.1.0-x (me)");
        image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image.extend_from_slice(payload);
        image
    }

    #[test]
    fn finds_payload_and_release() {
        let image = image(b"inside");
        assert_eq!(payload(&image).unwrap(), b"inside");
        assert_eq!(release(&image).unwrap(), "6.1.0-x");
    }

    #[test]
    fn refuses_what_is_no_kernel() {
        let whole = image(b"inside");
        assert!(payload(&whole[..whole.len() - 1]).is_err());
        assert!(payload(&whole[..0x203]).is_err());
        assert!(payload(&[0; 2048]).is_err());
        assert!(unpack(b"inside").is_err());
    }
}
