//! What is known of a device before it is overwritten, and why it is refused.
//!
//! The wrong device costs a person a disk, so everything that speaks against one is a refusal with the next step, and what
//! remains is shown before anything is written. The kernel's view (sysfs, `/proc/mounts`, `/proc/swaps`) is trusted; where
//! it lies is a parameter, so that tests show it a made-up machine.

use std::fmt;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Sectors in sysfs have this size, whatever the device's own is (Linux, `Documentation/ABI/stable/sysfs-block`).
const SYSFS_SECTOR_BYTES: u64 = 512;

/// Where the kernel says what there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// `/sys`
    pub sysfs: PathBuf,
    /// `/proc/mounts`
    pub mounts: PathBuf,
    /// `/proc/swaps`
    pub swaps: PathBuf,
    /// Whether a device's file must be a block device with the number that sysfs has. Only tests say no.
    pub device_files: bool,
}

/// A device that may be overwritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its file, symbolic links followed.
    pub path: PathBuf,
    /// Its name, e.g. `sdb` or `mmcblk0`.
    pub name: String,
    /// Who made it; empty if it does not say.
    pub vendor: String,
    /// What it calls itself; empty if it does not say.
    pub model: String,
    /// Its size.
    pub size_bytes: u64,
    /// What is on it.
    pub partitions: Vec<Partition>,
}

/// A part of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its name, e.g. `sdb1`.
    pub name: String,
    /// Its size.
    pub size_bytes: u64,
}

/// Why a device is not overwritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such file, or it cannot be looked at.
    Absent(PathBuf, String),
    /// It is not a device that holds data.
    NoDisk(PathBuf),
    /// It is only a part.
    Partition {
        /// Its name.
        name: String,
        /// The device that it is part of, where sysfs says so.
        whole: Option<String>,
    },
    /// It is built in, or claims to be.
    NotRemovable(String),
    /// Its switch is at "lock".
    WriteProtected(String),
    /// Somebody works with files on it.
    Mounted {
        /// The device or its part.
        name: String,
        /// Where its files are.
        place: String,
    },
    /// This machine's memory is on it.
    Swap(String),
    /// Encryption, RAID or a volume manager uses it.
    Held {
        /// The device or its part.
        name: String,
        /// What uses it.
        holder: String,
    },
    /// The image does not fit.
    TooSmall {
        /// Its name.
        name: String,
        /// Its size.
        size_bytes: u64,
        /// The image's size.
        needed_bytes: u64,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(path, why) => {
                write!(formatter, "{}: {why}; `lsblk` lists the devices that are there", path.display())
            }
            Self::NoDisk(path) => write!(formatter, "{} is no disk or card; `lsblk` lists them", path.display()),
            Self::Partition { name, whole: Some(whole) } => {
                write!(
                    formatter,
                    "{name} is a partition, and the image has its own table; name the whole device, {whole}"
                )
            }
            Self::Partition { name, whole: None } => {
                write!(formatter, "{name} is a partition, and the image has its own table; name the whole device")
            }
            Self::NotRemovable(name) => write!(
                formatter,
                "{name} is neither removable nor an SD card, so it may be this machine's disk; use a card reader that says it is"
            ),
            Self::WriteProtected(name) => {
                write!(formatter, "{name} is write-protected; move the switch at the card's or the adapter's side")
            }
            Self::Mounted { name, place } => {
                write!(formatter, "{name} is in use: its files are at {place}; `umount {place}` first")
            }
            Self::Swap(name) => {
                write!(formatter, "{name} is in use as swap space; `swapoff /dev/{name}` if you are sure")
            }
            Self::Held { name, holder } => {
                write!(
                    formatter,
                    "{name} is in use by {holder} (encryption, RAID or a volume manager); close that first"
                )
            }
            Self::TooSmall { name, size_bytes, needed_bytes } => write!(
                formatter,
                "{name} has {}, the image needs {}; with 0 bytes, the reader is empty",
                Size(*size_bytes),
                Size(*needed_bytes)
            ),
        }
    }
}

impl std::error::Error for Refusal {}

/// A number of bytes for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        // As printed on cards: decimal.
        match bytes {
            0..1_000_000 => write!(formatter, "{bytes} bytes"),
            1_000_000..1_000_000_000 => write!(formatter, "{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10),
            _ => write!(formatter, "{}.{} GB", bytes / 1_000_000_000, bytes / 100_000_000 % 10),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_silent = |text: &str| if text.is_empty() { "(does not say)".to_owned() } else { text.to_owned() };
        writeln!(formatter, "device     {}", self.path.display())?;
        writeln!(formatter, "vendor     {}", or_silent(&self.vendor))?;
        writeln!(formatter, "model      {}", or_silent(&self.model))?;
        writeln!(formatter, "size       {}", Size(self.size_bytes))?;
        if self.partitions.is_empty() {
            writeln!(formatter, "partitions none")?;
        }
        for partition in &self.partitions {
            writeln!(formatter, "partition  {}, {}", partition.name, Size(partition.size_bytes))?;
        }
        Ok(())
    }
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn this() -> Self {
        Self {
            sysfs: PathBuf::from("/sys"),
            mounts: PathBuf::from("/proc/mounts"),
            swaps: PathBuf::from("/proc/swaps"),
            device_files: true,
        }
    }

    /// What is known of `device`, if an image of `needed_bytes` may be written to it. Zero asks for everything else.
    ///
    /// # Errors
    /// Why not.
    pub fn inspect(&self, device: &Path, needed_bytes: u64) -> Result<Device, Refusal> {
        let absent = |error: std::io::Error| Refusal::Absent(device.to_owned(), error.to_string());
        let path = fs::canonicalize(device).map_err(absent)?;
        let no_disk = || Refusal::NoDisk(path.clone());
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(no_disk)?.to_owned();
        let entry = self.sysfs.join("class/block").join(&name);
        if !entry.is_dir() || (self.device_files && !is_device(&path, &entry)) {
            return Err(no_disk());
        }
        if entry.join("partition").exists() {
            return Err(Refusal::Partition { whole: whole_of(&entry), name });
        }
        let partitions = partitions(&entry, &name);
        if !is_removable(&entry) {
            return Err(Refusal::NotRemovable(name));
        }
        self.refuse_what_is_used(&entry, &name, &partitions)?;
        if text(&entry.join("ro")) == "1" {
            return Err(Refusal::WriteProtected(name));
        }
        let size_bytes = size(&entry);
        if size_bytes == 0 || size_bytes < needed_bytes {
            return Err(Refusal::TooSmall { name, size_bytes, needed_bytes });
        }
        let vendor = text(&entry.join("device/vendor"));
        let model = [text(&entry.join("device/model")), text(&entry.join("device/name"))];
        let model = model.into_iter().find(|model| !model.is_empty()).unwrap_or_default();
        Ok(Device { path, name, vendor, model, size_bytes, partitions })
    }

    fn refuse_what_is_used(&self, entry: &Path, name: &str, partitions: &[Partition]) -> Result<(), Refusal> {
        let parts = partitions.iter().map(|part| (part.name.as_str(), entry.join(&part.name)));
        for (name, entry) in std::iter::once((name, entry.to_owned())).chain(parts) {
            if let Some(place) = first_with(&self.mounts, name)? {
                return Err(Refusal::Mounted { name: name.to_owned(), place });
            }
            if first_with(&self.swaps, name)?.is_some() {
                return Err(Refusal::Swap(name.to_owned()));
            }
            if let Some(holder) = names(&entry.join("holders")).into_iter().next() {
                return Err(Refusal::Held { name: name.to_owned(), holder });
            }
        }
        Ok(())
    }
}

/// Whether the file is the block device that sysfs's entry is about.
fn is_device(path: &Path, entry: &Path) -> bool {
    let Ok(metadata) = fs::metadata(path) else { return false };
    let number = metadata.rdev();
    let number = format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number));
    metadata.file_type().is_block_device() && text(&entry.join("dev")) == number
}

/// USB sticks and card readers are `removable`; a built-in reader's card is of type SD. A soldered eMMC is of type MMC and
/// not removable; such a chip in an adapter is what the Raspberry Pi does not boot from either.
fn is_removable(entry: &Path) -> bool {
    text(&entry.join("removable")) == "1" || text(&entry.join("device/type")) == "SD"
}

/// The second word of the file's first line whose first word is the device: where it is mounted, or the kind of its swap.
/// A file that is not there says that nothing is.
fn first_with(file: &Path, name: &str) -> Result<Option<String>, Refusal> {
    let content = match fs::read_to_string(file) {
        Ok(content) => content,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Refusal::Absent(file.to_owned(), error.to_string())),
    };
    let found = content.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let source = Path::new(words.next()?);
        let source = fs::canonicalize(source).unwrap_or_else(|_| source.to_owned());
        // A device's name is unique, wherever its file is.
        (source.file_name()? == name).then(|| words.next().unwrap_or_default().to_owned())
    });
    Ok(found)
}

fn partitions(entry: &Path, name: &str) -> Vec<Partition> {
    let mut found: Vec<Partition> = names(entry)
        .into_iter()
        .filter(|part| part.starts_with(name) && entry.join(part).join("partition").exists())
        .map(|part| Partition { size_bytes: size(&entry.join(&part)), name: part })
        .collect();
    found.sort_by(|one, other| (one.name.len(), &one.name).cmp(&(other.name.len(), &other.name)));
    found
}

/// The device that a partition's entry lies in.
fn whole_of(entry: &Path) -> Option<String> {
    let real = fs::canonicalize(entry).ok()?;
    let above = real.parent()?;
    above.join("removable").exists().then(|| above.file_name()?.to_str().map(str::to_owned))?
}

fn size(entry: &Path) -> u64 {
    text(&entry.join("size")).parse::<u64>().unwrap_or(0).saturating_mul(SYSFS_SECTOR_BYTES)
}

/// A line of sysfs; nothing if it is not there.
fn text(path: &Path) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// The names in a folder, sorted; none if it is not there.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with a card `sdx` of 1 GiB and two partitions.
    struct MadeUp {
        folder: tempfile::TempDir,
    }

    impl MadeUp {
        fn new() -> Self {
            let made_up = Self { folder: tempfile::tempdir().expect("a temporary folder") };
            for (path, content) in [
                ("dev/sdx", ""),
                ("dev/sdx1", ""),
                ("sys/class/block/sdx/removable", "1\n"),
                ("sys/class/block/sdx/ro", "0\n"),
                ("sys/class/block/sdx/size", "2097152\n"),
                ("sys/class/block/sdx/dev", "8:16\n"),
                ("sys/class/block/sdx/device/vendor", "Generic \n"),
                ("sys/class/block/sdx/device/model", "SD/MMC reader  \n"),
                ("sys/class/block/sdx/sdx1/partition", "1\n"),
                ("sys/class/block/sdx/sdx1/size", "1000000\n"),
                ("sys/class/block/sdx/sdx10/partition", "10\n"),
                ("sys/class/block/sdx/sdx10/size", "2\n"),
                ("mounts", "/dev/sda1 / ext4 rw 0 0\nproc /proc proc rw 0 0\n"),
                ("swaps", "Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n"),
            ] {
                made_up.set(path, content);
            }
            let link = made_up.folder.path().join("sys/class/block/sdx1");
            std::os::unix::fs::symlink("sdx/sdx1", link).expect("a link");
            made_up
        }

        fn set(&self, path: &str, content: &str) -> &Self {
            let path = self.folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, content).expect("written");
            self
        }

        fn machine(&self) -> Machine {
            let at = |name: &str| self.folder.path().join(name);
            Machine { sysfs: at("sys"), mounts: at("mounts"), swaps: at("swaps"), device_files: false }
        }

        fn inspect(&self) -> Result<Device, Refusal> {
            self.machine().inspect(&self.folder.path().join("dev/sdx"), 1 << 27)
        }

        fn refusal(&self) -> String {
            self.inspect().expect_err("refused").to_string()
        }
    }

    #[test]
    fn a_card_is_described() {
        let device = MadeUp::new().inspect().expect("a good card");
        let shown = device.to_string();
        for part in ["Generic\n", "SD/MMC reader\n", "1.0 GB", "sdx1, 512.0 MB", "sdx10, 1024 bytes"] {
            assert!(shown.contains(part), "{part:?} in {shown}");
        }
    }

    #[test]
    fn the_card_of_a_built_in_reader_is_accepted() {
        let made_up = MadeUp::new();
        made_up.set("sys/class/block/sdx/removable", "0\n").set("sys/class/block/sdx/device/type", "SD\n");
        made_up.inspect().expect("accepted");
    }

    #[test]
    fn a_link_leads_to_the_device() {
        let made_up = MadeUp::new();
        let link = made_up.folder.path().join("by-id");
        std::os::unix::fs::symlink(made_up.folder.path().join("dev/sdx"), &link).expect("a link");
        assert_eq!(made_up.machine().inspect(&link, 1).expect("accepted").name, "sdx");
    }

    #[test]
    fn what_is_not_there_is_refused() {
        let refusal = MadeUp::new().machine().inspect(Path::new("/dev/nowhere"), 1).expect_err("refused");
        assert_eq!(
            refusal.to_string(),
            "/dev/nowhere: No such file or directory (os error 2); `lsblk` lists the devices that are there"
        );
    }

    #[test]
    fn a_file_is_no_disk() {
        let made_up = MadeUp::new();
        made_up.set("dev/letter.txt", "");
        let refusal = made_up.machine().inspect(&made_up.folder.path().join("dev/letter.txt"), 1).expect_err("refused");
        assert!(refusal.to_string().ends_with("letter.txt is no disk or card; `lsblk` lists them"), "{refusal}");
    }

    #[test]
    fn a_file_with_a_devices_name_is_no_device() {
        let made_up = MadeUp::new();
        let machine = Machine { device_files: true, ..made_up.machine() };
        let refusal = machine.inspect(&made_up.folder.path().join("dev/sdx"), 1).expect_err("refused");
        assert!(refusal.to_string().contains("is no disk or card"), "{refusal}");
    }

    #[test]
    fn another_devices_number_is_refused() {
        let made_up = MadeUp::new();
        made_up.set("sys/class/block/null/dev", "1:3\n").set("sys/class/block/null/removable", "1\n");
        let machine = Machine { device_files: true, ..made_up.machine() };
        // A character device with the right number.
        let refusal = machine.inspect(Path::new("/dev/null"), 1).expect_err("refused");
        assert!(refusal.to_string().contains("is no disk or card"), "{refusal}");
    }

    #[test]
    fn a_partition_is_refused() {
        let made_up = MadeUp::new();
        let refusal = made_up.machine().inspect(&made_up.folder.path().join("dev/sdx1"), 1).expect_err("refused");
        assert_eq!(
            refusal.to_string(),
            "sdx1 is a partition, and the image has its own table; name the whole device, sdx"
        );
    }

    #[test]
    fn a_built_in_disk_is_refused() {
        let made_up = MadeUp::new();
        made_up.set("sys/class/block/sdx/removable", "0\n");
        let expected = "sdx is neither removable nor an SD card, so it may be this machine's disk";
        assert!(made_up.refusal().starts_with(expected), "{}", made_up.refusal());
        made_up.set("sys/class/block/sdx/device/type", "MMC\n");
        assert!(made_up.refusal().starts_with(expected), "a soldered chip");
    }

    #[test]
    fn a_mounted_card_is_refused() {
        let made_up = MadeUp::new();
        made_up.set("mounts", "/dev/sdx10 /media/me/CARD vfat rw 0 0\n");
        assert_eq!(
            made_up.refusal(),
            "sdx10 is in use: its files are at /media/me/CARD; `umount /media/me/CARD` first"
        );
        made_up.set("mounts", "/dev/sdx /mnt vfat rw 0 0\n");
        assert!(made_up.refusal().starts_with("sdx is in use: its files are at /mnt"));
    }

    #[test]
    fn another_device_with_a_longer_name_does_not_count() {
        let made_up = MadeUp::new();
        made_up.set("mounts", "/dev/sdxa /media/me/OTHER vfat rw 0 0\n");
        made_up.inspect().expect("accepted");
    }

    #[test]
    fn swap_space_is_refused() {
        let made_up = MadeUp::new();
        made_up.set("swaps", "Filename Type Size Used Priority\n/dev/sdx1 partition 1 0 -2\n");
        assert_eq!(made_up.refusal(), "sdx1 is in use as swap space; `swapoff /dev/sdx1` if you are sure");
    }

    #[test]
    fn what_another_layer_holds_is_refused() {
        let made_up = MadeUp::new();
        made_up.set("sys/class/block/sdx/sdx1/holders/dm-0", "");
        assert_eq!(
            made_up.refusal(),
            "sdx1 is in use by dm-0 (encryption, RAID or a volume manager); close that first"
        );
    }

    #[test]
    fn a_write_protected_card_is_refused() {
        let made_up = MadeUp::new();
        made_up.set("sys/class/block/sdx/ro", "1\n");
        assert!(made_up.refusal().starts_with("sdx is write-protected; move the switch"), "{}", made_up.refusal());
    }

    #[test]
    fn a_small_card_and_an_empty_reader_are_refused() {
        let made_up = MadeUp::new();
        made_up.set("sys/class/block/sdx/size", "131072\n");
        assert_eq!(made_up.refusal(), "sdx has 67.1 MB, the image needs 134.2 MB; with 0 bytes, the reader is empty");
        made_up.set("sys/class/block/sdx/size", "0\n");
        let any_size = made_up.machine().inspect(&made_up.folder.path().join("dev/sdx"), 0);
        assert!(matches!(any_size, Err(Refusal::TooSmall { size_bytes: 0, .. })), "{any_size:?}");
    }
}
