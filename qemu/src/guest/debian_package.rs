//! Reads the files in a Debian package: an `ar` archive whose member `data.tar.xz` holds them (deb(5)).
//!
//! The package's hash was checked against the lock before it comes here. Even so, nothing is written to disk here, a path
//! in the archive is only ever compared, and a file larger than any that belongs in the guest is refused.

use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use lzma_rust2::XzReader;

/// No file that the guest needs comes near this: the kernel is 33 MB.
const LARGEST_FILE_BYTES: u64 = 256 << 20;

/// Is shown a file's path and content, and says whether to go on.
pub type Visit<'a> = dyn FnMut(&str, &mut dyn Read) -> Result<ControlFlow<()>> + 'a;

/// Shows every regular file to `visit`, path without the leading `./`, until it breaks off.
///
/// # Errors
/// It is no package, or is cut off; whatever `visit` says.
pub fn visit_files(package: &Path, visit: &mut Visit<'_>) -> Result<()> {
    let file = File::open(package).with_context(|| format!("cannot open the package {}", package.display()))?;
    visit_archive(BufReader::new(file), visit).with_context(|| format!("in the package {}", package.display()))
}

/// One file's content.
pub(super) fn read_file(package: &Path, wanted: &str) -> Result<Vec<u8>> {
    let mut content = None;
    visit_files(package, &mut |path, reader| {
        if path != wanted {
            return Ok(ControlFlow::Continue(()));
        }
        content = Some(read_limited(reader)?);
        Ok(ControlFlow::Break(()))
    })?;
    content.with_context(|| format!("{} holds no file {wanted}", package.display()))
}

/// Reads all of a file that `visit` was shown.
///
/// # Errors
/// It is cut off, or larger than any that is needed here.
pub fn read_limited(reader: &mut dyn Read) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    reader.take(LARGEST_FILE_BYTES + 1).read_to_end(&mut content)?;
    ensure!(content.len() as u64 <= LARGEST_FILE_BYTES, "a file is larger than {LARGEST_FILE_BYTES} bytes");
    Ok(content)
}

/// Unpacks one `.xz` stream, as single files in a package may be.
pub(super) fn unpack_xz(compressed: &[u8]) -> Result<Vec<u8>> {
    read_limited(&mut XzReader::new(compressed, true))
}

fn visit_archive(package: impl Read, visit: &mut Visit<'_>) -> Result<()> {
    let mut archive = ar::Archive::new(package);
    while let Some(member) = archive.next_entry() {
        let member = member.context("not an ar archive")?;
        let name = String::from_utf8_lossy(member.header().identifier()).into_owned();
        match name.as_str() {
            "data.tar.xz" => return visit_tar(XzReader::new(member, true), visit),
            "data.tar" => return visit_tar(member, visit),
            other if other.starts_with("data.tar") => bail!("{other} is compressed in a way that is not read here"),
            _ => {}
        }
    }
    bail!("no data.tar.xz in it")
}

fn visit_tar(tar: impl Read, visit: &mut Visit<'_>) -> Result<()> {
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path()?.to_string_lossy().into_owned();
        let path = path.strip_prefix("./").unwrap_or(&path);
        if visit(path, &mut entry)?.is_break() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A package with these files, its data uncompressed: the tests have no xz encoder.
    pub(in super::super) fn package_of(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, path, *content).expect("a tar entry");
        }
        let tar = tar.into_inner().expect("a tar archive");
        let mut package = ar::Builder::new(Vec::new());
        for (name, content) in [("debian-binary", b"2.0\n".as_slice()), ("data.tar", &tar)] {
            let header = ar::Header::new(name.as_bytes().to_vec(), content.len() as u64);
            package.append(&header, content).expect("an ar member");
        }
        package.into_inner().expect("an ar archive")
    }

    fn error_of(bytes: &[u8]) -> String {
        let result = visit_archive(bytes, &mut |_, _| Ok(ControlFlow::Continue(())));
        format!("{:#}", result.expect_err("refused"))
    }

    #[test]
    fn a_file_is_found_by_its_path() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.deb");
        std::fs::write(&path, package_of(&[("./bin/other", b"no"), ("./bin/busybox", b"yes")])).expect("written");
        assert_eq!(read_file(&path, "bin/busybox").expect("found"), b"yes");
        let error = read_file(&path, "bin/sh").expect_err("absent");
        assert!(error.to_string().contains("holds no file bin/sh"), "{error}");
    }

    #[test]
    fn a_visit_ends_when_it_breaks_off() {
        let package = package_of(&[("a", b"1"), ("b", b"2"), ("c", b"3")]);
        let mut seen = Vec::new();
        visit_archive(package.as_slice(), &mut |path, _| {
            seen.push(path.to_owned());
            Ok(if path == "b" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
        .expect("visited");
        assert_eq!(seen, ["a", "b"]);
    }

    #[test]
    fn what_is_no_package_is_refused() {
        assert!(error_of(b"<html>not here</html>").contains("not an ar archive"));
        assert!(error_of(b"!<arch>\n").contains("no data.tar.xz"));
    }

    #[test]
    fn a_truncated_package_is_refused() {
        let package = package_of(&[("a", &[7; 4096])]);
        error_of(&package[..package.len() - 2048]);
    }

    #[test]
    fn another_compression_is_named() {
        let mut package = ar::Builder::new(Vec::new());
        let header = ar::Header::new(b"data.tar.zst".to_vec(), 1);
        package.append(&header, [0].as_slice()).expect("an ar member");
        assert!(error_of(&package.into_inner().expect("an ar archive")).contains("data.tar.zst"));
    }

    #[test]
    fn xz_is_unpacked() {
        // `printf atoll | xz -9 | xxd -i`
        let compressed = [
            0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x04, 0xe6, 0xd6, 0xb4, 0x46, 0x02, 0x00, 0x21, 0x01, 0x1c, 0x00,
            0x00, 0x00, 0x10, 0xcf, 0x58, 0xcc, 0x01, 0x00, 0x04, 0x61, 0x74, 0x6f, 0x6c, 0x6c, 0x00, 0x00, 0x00, 0x00,
            0x60, 0xdd, 0xff, 0x30, 0x59, 0x3e, 0x59, 0xc6, 0x00, 0x01, 0x1d, 0x05, 0xb8, 0x2d, 0x80, 0xaf, 0x1f, 0xb6,
            0xf3, 0x7d, 0x01, 0x00, 0x00, 0x00, 0x00, 0x04, 0x59, 0x5a,
        ];
        assert_eq!(unpack_xz(&compressed).expect("unpacked"), b"atoll");
        assert!(unpack_xz(&compressed[..40]).is_err(), "a truncated stream");
    }
}
