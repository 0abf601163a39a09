//! Writes an image to a device and reads it back.
//!
//! The partition table is written last: a card that was pulled out half-way has none, and does not boot into half an image.
//! Cheap cards and readers lose data without saying so, so what was written is read back, past the kernel's cache. The
//! device is opened exclusively: Linux then refuses it if anything uses it, whatever was seen before.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{Advice, OFlags, fadvise};
use sha2::{Digest, Sha256};

use crate::{device::Device, hexadecimal};

/// As much as is written or read at once: a card's erase block, and a multiple of every sector's size.
const CHUNK_BYTES: usize = 4 << 20;

/// What reading past the cache wants memory to be aligned to: no device has larger blocks.
const DIRECT_ALIGNMENT: usize = 4096;

/// What is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Data goes to the device.
    Writing,
    /// And comes back.
    ReadingBack,
}

/// How what was written was read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadBack {
    /// With `O_DIRECT`: from the device into this program.
    Direct,
    /// After the kernel was asked to drop what it had kept (`posix_fadvise`, `DONTNEED`); this device has no `O_DIRECT`.
    CacheDropped,
}

impl fmt::Display for ReadBack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Direct => "read back from the device itself (O_DIRECT)",
            Self::CacheDropped => "read back after the kernel dropped its copy (posix_fadvise)",
        })
    }
}

/// What a flashed card holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flashed {
    /// SHA-256 of what was read back: the image's.
    pub sha256: String,
    /// How it was read.
    pub read_back: ReadBack,
}

/// Is told the step and how many of how many bytes are done.
pub type Progress<'a> = dyn FnMut(Step, u64, u64) + 'a;

/// Asks the person to type the device's name. With `yes`, nobody is asked; where nobody can be, that is required.
///
/// # Errors
/// Something else was typed, or nobody is there.
pub fn confirm(device: &Device, yes: bool, said: &mut dyn Write) -> Result<()> {
    let stdin = std::io::stdin();
    let answers = stdin.is_terminal().then(|| stdin.lock());
    confirm_with(device, yes, answers, said)
}

fn confirm_with(device: &Device, yes: bool, answers: Option<impl BufRead>, said: &mut dyn Write) -> Result<()> {
    write!(said, "{device}")?;
    if yes {
        return Ok(());
    }
    let Some(mut answers) = answers else {
        bail!("nobody can be asked here, because the input is no terminal: `--yes` overwrites {} unasked", device.name);
    };
    write!(said, "Everything on it will be lost. Type its name ({}) to go on: ", device.name)?;
    said.flush()?;
    let mut typed = String::new();
    answers.read_line(&mut typed).context("cannot read the answer")?;
    ensure!(typed.trim() == device.name, "that is not {}: nothing was written", device.name);
    Ok(())
}

/// Writes `image` to `device`, waits until it is there, and compares what can be read back.
///
/// # Errors
/// The device refuses or is in use, or gives back something else than was written.
pub fn flash(image: &Path, device: &Path, progress: &mut Progress<'_>) -> Result<Flashed> {
    let mut source = File::open(image).with_context(|| format!("cannot open {}", image.display()))?;
    let size = source.metadata()?.len();
    ensure!(size > 0, "{} is empty", image.display());
    let written = write(&mut source, size, device, progress)
        .with_context(|| format!("{} was not written; write it again, or try another card", device.display()))?;
    let (read, read_back) = read_back(device, size, progress).with_context(|| {
        format!("what was written to {} cannot be read back; try another card or reader", device.display())
    })?;
    ensure!(
        read == written,
        "{} gives back other data than was written (SHA-256 {read} instead of {written}); try another card or reader",
        device.display()
    );
    Ok(Flashed { sha256: read, read_back })
}

fn write(source: &mut File, size: u64, device: &Path, progress: &mut Progress<'_>) -> Result<String> {
    let exclusive = i32::try_from(OFlags::EXCL.bits())?;
    let mut target = OpenOptions::new().write(true).custom_flags(exclusive).open(device)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let first = usize::try_from(size.min(CHUNK_BYTES as u64))?;
    // No table while the rest is on its way.
    target.write_all(&chunk[..first])?;
    source.read_exact(&mut chunk[..first])?;
    let head = chunk[..first].to_vec();
    let mut hash = Sha256::new_with_prefix(&head);
    let mut done = first as u64;
    while done < size {
        let length = usize::try_from((size - done).min(CHUNK_BYTES as u64))?;
        source.read_exact(&mut chunk[..length])?;
        hash.update(&chunk[..length]);
        target.write_all(&chunk[..length])?;
        // Each chunk now, not all at the end: progress is then the card's, not the cache's.
        target.sync_data()?;
        done += length as u64;
        progress(Step::Writing, done - first as u64, size);
    }
    target.seek(SeekFrom::Start(0))?;
    target.write_all(&head)?;
    target.sync_all()?;
    progress(Step::Writing, size, size);
    Ok(hexadecimal(&hash.finalize()))
}

fn read_back(device: &Path, size: u64, progress: &mut Progress<'_>) -> Result<(String, ReadBack)> {
    let direct = i32::try_from(OFlags::DIRECT.bits())?;
    // Some file systems refuse it at once, some at the first read. Any other error is the device's own.
    if let Ok(mut file) = OpenOptions::new().read(true).custom_flags(direct).open(device)
        && !refuses_direct_reads(&mut file)?
    {
        return Ok((hash_of(file, size, progress)?, ReadBack::Direct));
    }
    let file = File::open(device)?;
    fadvise(&file, 0, None, Advice::DontNeed).context("the kernel keeps its copy")?;
    Ok((hash_of(file, size, progress)?, ReadBack::CacheDropped))
}

/// Tries one read, and goes back to the beginning.
fn refuses_direct_reads(file: &mut File) -> Result<bool> {
    let mut memory = vec![0; 2 * DIRECT_ALIGNMENT];
    let start = memory.as_ptr().align_offset(DIRECT_ALIGNMENT);
    match file.read(&mut memory[start..start + DIRECT_ALIGNMENT]) {
        Ok(_) => {
            file.seek(SeekFrom::Start(0))?;
            Ok(false)
        }
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn hash_of(mut file: File, size: u64, progress: &mut Progress<'_>) -> Result<String> {
    let mut memory = vec![0; CHUNK_BYTES + DIRECT_ALIGNMENT];
    let start = memory.as_ptr().align_offset(DIRECT_ALIGNMENT);
    let chunk = &mut memory[start..start + CHUNK_BYTES];
    let mut hash = Sha256::new();
    let mut done = 0;
    while done < size {
        // Always whole chunks: a read past the cache may not have just any length.
        let read = file.read(chunk)?;
        ensure!(read > 0, "it ends after {done} of {size} bytes");
        let length = usize::try_from((size - done).min(read as u64))?;
        hash.update(&chunk[..length]);
        done += length as u64;
        progress(Step::ReadingBack, done, size);
    }
    Ok(hexadecimal(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::sha256_hex;

    fn device() -> Device {
        Device {
            path: PathBuf::from("/dev/sdx"),
            name: "sdx".to_owned(),
            vendor: String::new(),
            model: "Reader".to_owned(),
            size_bytes: 1 << 30,
            partitions: Vec::new(),
        }
    }

    fn confirmed(yes: bool, answers: Option<&str>) -> (Result<()>, String) {
        let mut said = Vec::new();
        let result = confirm_with(&device(), yes, answers.map(str::as_bytes), &mut said);
        (result, String::from_utf8(said).expect("text"))
    }

    #[test]
    fn the_devices_name_must_be_typed() {
        let (result, said) = confirmed(false, Some("sdx\n"));
        result.expect("confirmed");
        assert!(said.contains("Reader") && said.contains("Everything on it will be lost"), "{said}");
        for wrong in ["y\n", "", "sdy\n", "\n"] {
            let error = confirmed(false, Some(wrong)).0.expect_err("refused");
            assert_eq!(error.to_string(), "that is not sdx: nothing was written");
        }
    }

    #[test]
    fn a_script_must_say_yes() {
        let error = confirmed(false, None).0.expect_err("refused");
        assert!(error.to_string().contains("`--yes` overwrites sdx unasked"), "{error}");
        let (result, said) = confirmed(true, None);
        result.expect("confirmed");
        assert!(said.contains("Reader"), "it is shown all the same: {said}");
    }

    /// An image of two and a bit chunks, and a larger device with something on it.
    fn image_and_device(folder: &Path) -> (PathBuf, PathBuf, Vec<u8>) {
        let image: Vec<u8> =
            (0..2 * CHUNK_BYTES + 8192).map(|index| u8::try_from(index % 251).expect("small")).collect();
        let paths = (folder.join("image"), folder.join("sdx"));
        fs::write(&paths.0, &image).expect("written");
        fs::write(&paths.1, vec![0xff; 3 * CHUNK_BYTES]).expect("written");
        (paths.0, paths.1, image)
    }

    #[test]
    fn the_device_holds_the_image_afterwards() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (path, device, image) = image_and_device(folder.path());
        let mut steps = Vec::new();
        let flashed = flash(&path, &device, &mut |step, done, total| steps.push((step, done, total))).expect("flashed");
        let content = fs::read(&device).expect("readable");
        assert!(content[..image.len()] == image);
        assert!(content[image.len()..].iter().all(|byte| *byte == 0xff), "nothing behind the image was touched");
        assert_eq!(flashed.sha256, sha256_hex(&image));
        let size = image.len() as u64;
        assert!(steps.contains(&(Step::Writing, size, size)) && steps.ends_with(&[(Step::ReadingBack, size, size)]));
        assert!(steps.windows(2).all(|pair| pair[0].0 != pair[1].0 || pair[0].1 < pair[1].1), "{steps:?}");
    }

    #[test]
    fn the_table_comes_last() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (path, device, image) = image_and_device(folder.path());
        let mut seen = Vec::new();
        let look = device.clone();
        let mut progress = |step, done, total| {
            if step == Step::Writing {
                let first = fs::read(&look).expect("readable")[0..CHUNK_BYTES].iter().all(|byte| *byte == 0);
                seen.push((first, done == total));
            }
        };
        flash(&path, &device, &mut progress).expect("flashed");
        assert_eq!(seen, [(true, false), (true, false), (false, true)]);
        assert!(fs::read(&device).expect("readable")[..CHUNK_BYTES] == image[..CHUNK_BYTES]);
    }

    #[test]
    fn a_card_that_loses_data_is_found_out() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (path, device, _) = image_and_device(folder.path());
        let broken = device.clone();
        let mut progress = |step, done, total| {
            if step == Step::Writing && done == total {
                let mut content = fs::read(&broken).expect("readable");
                content[CHUNK_BYTES + 17] ^= 1;
                fs::write(&broken, content).expect("written");
            }
        };
        let error = flash(&path, &device, &mut progress).expect_err("found out");
        assert!(error.to_string().contains("gives back other data than was written"), "{error:#}");
    }

    #[test]
    fn a_device_that_ends_early_is_an_error() {
        let error = flash(Path::new("/dev/null"), Path::new("/dev/null"), &mut |_, _, _| {}).expect_err("empty");
        assert!(error.to_string().contains("is empty"), "{error}");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (path, _, _) = image_and_device(folder.path());
        let error = flash(&path, Path::new("/dev/full"), &mut |_, _, _| {}).expect_err("full");
        assert!(format!("{error:#}").contains("was not written"), "{error:#}");
    }
}
