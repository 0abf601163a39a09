//! The card's image: a partition table and one FAT32 file system, the same bytes for the same files.
//!
//! The Raspberry Pi's boot ROM and its firmware read an MBR with a FAT partition, and so does U-Boot. Times, identities and
//! the order of files are fixed, because an image that differs between two builds cannot be compared with what somebody else
//! built. Names and contents come from this program and the committed lock; they are checked where a mistake would give a
//! card that does not boot.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use fatfs::{Date, DateTime, FatType, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider};
use fscommon::{BufStream, StreamSlice};
use mbrman::{BOOT_ACTIVE, CHS, MBR, MBRPartitionEntry};

/// Bytes in a sector, of SD cards and in both formats.
pub const SECTOR_BYTES: u64 = 512;

/// Where the partition begins: 4 MiB. The SD Association's own formatter aligns to 4 MiB on cards of 2 to 32 GB, so that no
/// cluster shares an erase block with the table.
pub const PARTITION_OFFSET: u64 = 4 << 20;

/// FAT32 with sectors addressed by number (LBA), in the list of partition types that all partitioning tools share.
pub const PARTITION_TYPE: u8 = 0x0c;

/// The smallest image. No smaller power of two is a FAT32 with such clusters and has room for a system.
const SMALLEST_BYTES: u64 = 128 << 20;

/// No image comes near this, and every card that is sold is larger.
const LARGEST_BYTES: u64 = 1 << 30;

/// Clusters of two sectors: with 124 MiB still more than [`FAT32_CLUSTERS`], with 1 GiB a table of 4 MiB.
const CLUSTER_BYTES: u32 = 1024;

/// Readers take a file system with fewer clusters for FAT16, whatever it says (Microsoft's "FAT32 File System
/// Specification" 1.03, "FAT Type Determination").
const FAT32_CLUSTERS: u32 = 65525;

/// "atol": tells operating systems the disk from others.
const DISK_SIGNATURE: [u8; 4] = *b"atol";

/// Tells operating systems the file system from others.
const VOLUME_ID: u32 = u32::from_be_bytes(DISK_SIGNATURE);

/// Shown by operating systems.
const VOLUME_LABEL: [u8; 11] = *b"ATOLL      ";

/// A file in the boot partition's root folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFile {
    /// Its name; matched without regard to case.
    pub name: String,
    /// Its content.
    pub content: Vec<u8>,
}

impl BootFile {
    /// A file.
    pub fn new(name: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), content: content.into() }
    }
}

/// Writes an image with these files to `path`, sparsely. Its size is a power of two, as QEMU wants an SD card's.
///
/// # Errors
/// Two files of one name, a name that FAT does not have, more than an image holds, or the disk refuses.
pub fn write(path: &Path, files: &[BootFile]) -> Result<u64> {
    let files = in_order(files)?;
    let size = image_bytes(&files)?;
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.set_len(size)?;
    write_partition_table(&mut file, size)?;
    write_file_system(&mut file, size, &files).with_context(|| format!("cannot write {}", path.display()))?;
    file.sync_all()?;
    Ok(size)
}

fn in_order(files: &[BootFile]) -> Result<Vec<&BootFile>> {
    let mut sorted: Vec<&BootFile> = files.iter().collect();
    sorted.sort_by_key(|file| file.name.to_lowercase());
    for file in &sorted {
        ensure!(is_plain(&file.name), "{:?} is not a name for a file in the boot partition", file.name);
    }
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].name.eq_ignore_ascii_case(&pair[1].name)) {
        bail!("two files of the boot partition are called {}", pair[0].name);
    }
    Ok(sorted)
}

/// Names that every reader of FAT agrees on.
fn is_plain(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && name.len() <= 64 && !name.starts_with('.') && !name.ends_with('.') && name.bytes().all(allowed)
}

/// The smallest power of two that holds the files with a quarter to spare for tables and half-filled clusters.
fn image_bytes(files: &[&BootFile]) -> Result<u64> {
    let content: u64 =
        files.iter().map(|file| (file.content.len() as u64).next_multiple_of(CLUSTER_BYTES.into())).sum();
    let size = (PARTITION_OFFSET + content + content / 4).next_power_of_two().max(SMALLEST_BYTES);
    ensure!(size <= LARGEST_BYTES, "{content} bytes of files need an image of more than {LARGEST_BYTES} bytes");
    Ok(size)
}

fn write_partition_table(file: &mut File, size: u64) -> Result<()> {
    let sector_bytes = u32::try_from(SECTOR_BYTES)?;
    let mut table = MBR::new_from(file, sector_bytes, DISK_SIGNATURE)?;
    table[1] = MBRPartitionEntry {
        boot: BOOT_ACTIVE,
        // Nobody reads these for LBA types; the specification's "beyond what CHS can say" is all ones.
        first_chs: CHS::new(1023, 254, 63),
        sys: PARTITION_TYPE,
        last_chs: CHS::new(1023, 254, 63),
        starting_lba: u32::try_from(PARTITION_OFFSET / SECTOR_BYTES)?,
        sectors: u32::try_from((size - PARTITION_OFFSET) / SECTOR_BYTES)?,
    };
    table.write_into(file).context("cannot write the partition table")
}

fn write_file_system(file: &mut File, size: u64, files: &[&BootFile]) -> Result<()> {
    let mut partition = BufStream::new(StreamSlice::new(&mut *file, PARTITION_OFFSET, size)?);
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(CLUSTER_BYTES)
        .volume_id(VOLUME_ID)
        .volume_label(VOLUME_LABEL);
    fatfs::format_volume(&mut partition, options)?;
    partition.seek(SeekFrom::Start(0))?;
    let file_system = FileSystem::new(partition, FsOptions::new().time_provider(&FIXED_TIME))?;
    let clusters = file_system.stats()?.total_clusters();
    ensure!(clusters >= FAT32_CLUSTERS, "{clusters} clusters are too few for FAT32");
    for wanted in files {
        let mut written = file_system.root_dir().create_file(&wanted.name)?;
        written.write_all(&wanted.content)?;
        written.flush()?;
    }
    file_system.unmount()?;
    Ok(())
}

/// The files of an image, read back by the library that wrote them.
///
/// # Errors
/// It is not such an image.
pub fn read(path: &Path) -> Result<Vec<BootFile>> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let size = file.metadata()?.len();
    let table = MBR::read_from(&mut file, u32::try_from(SECTOR_BYTES)?)?;
    let partition = &table[1];
    ensure!(partition.sys == PARTITION_TYPE, "the first partition is of type {:#04x}", partition.sys);
    let start = u64::from(partition.starting_lba) * SECTOR_BYTES;
    let slice = StreamSlice::new(ReadOnly(file), start, size)?;
    let file_system = FileSystem::new(BufStream::new(slice), FsOptions::new())?;
    let mut files = Vec::new();
    for entry in file_system.root_dir().iter() {
        let entry = entry?;
        let mut content = Vec::new();
        entry.to_file().read_to_end(&mut content)?;
        files.push(BootFile::new(entry.file_name(), content));
    }
    Ok(files)
}

/// A file that `fatfs` may ask to write, which reading an image never does.
struct ReadOnly(File);

impl Read for ReadOnly {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for ReadOnly {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::PermissionDenied.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Seek for ReadOnly {
    fn seek(&mut self, position: SeekFrom) -> std::io::Result<u64> {
        self.0.seek(position)
    }
}

/// Every file is of the first moment that FAT knows.
#[derive(Debug)]
struct FixedTime;

static FIXED_TIME: FixedTime = FixedTime;

impl TimeProvider for FixedTime {
    fn get_current_date(&self) -> Date {
        Date { year: 1980, month: 1, day: 1 }
    }

    fn get_current_date_time(&self) -> DateTime {
        DateTime { date: self.get_current_date(), time: Time { hour: 0, min: 0, sec: 0, millis: 0 } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<BootFile> {
        vec![BootFile::new("loader.img", vec![7; 100_000]), BootFile::new("config.txt", "a=1\n")]
    }

    fn refusal(files: &[BootFile]) -> String {
        let folder = tempfile::tempdir().expect("a temporary folder");
        format!("{:#}", write(&folder.path().join("card.img"), files).expect_err("refused"))
    }

    #[test]
    fn what_is_written_is_read_back_in_order() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("card.img");
        let size = write(&path, &files()).expect("written");
        assert_eq!(size, SMALLEST_BYTES);
        let mut expected = files();
        expected.reverse();
        assert_eq!(read(&path).expect("readable"), expected);
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [first, second] = ["first.img", "second.img"].map(|name| folder.path().join(name));
        write(&first, &files()).expect("written");
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let mut reordered = files();
        reordered.reverse();
        write(&second, &reordered).expect("written");
        assert!(std::fs::read(&first).expect("readable") == std::fs::read(&second).expect("readable"));
    }

    #[test]
    fn two_files_of_one_name_are_refused() {
        let mut files = files();
        files.push(BootFile::new("CONFIG.TXT", "b=2\n"));
        assert!(refusal(&files).contains("two files"), "{}", refusal(&files));
    }

    #[test]
    fn a_name_with_a_folder_is_refused() {
        assert!(refusal(&[BootFile::new("overlays/x", "")]).contains("is not a name for a file"));
        assert!(refusal(&[BootFile::new("..", "")]).contains("is not a name for a file"));
    }

    #[test]
    fn the_image_grows_in_powers_of_two() {
        let large = BootFile::new("a", vec![0; 120 << 20]);
        assert_eq!(image_bytes(&[&large]).expect("fits"), 256 << 20);
        assert_eq!(image_bytes(&[]).expect("fits"), SMALLEST_BYTES);
    }
}
