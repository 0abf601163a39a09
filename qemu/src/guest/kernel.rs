//! Takes from Debian's kernel package what the guest needs: the `Image` and a few modules.
//!
//! The package has no `modules.dep` (depmod writes it on installation), so the order of loading comes from what each module
//! says about itself in its `.modinfo` section. Unpacking takes seconds, so it is done once for each package.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use elf::ElfBytes;
use elf::endian::LittleEndian;

use super::debian_package::{read_limited, unpack_xz, visit_files};
use super::lock::Lock;
use super::{GuestOptions, Progress};

/// What the guest needs beyond what is built in: the transport of its devices, and the ports through which `emit` talks.
const WANTED_MODULES: [&str; 2] = ["virtio_mmio", "virtio_console"];

/// Offset and value of the magic number in an arm64 `Image` (Linux, `Documentation/arm64/booting.rst`).
const IMAGE_MAGIC: (usize, &[u8]) = (56, b"ARM\x64");

/// The first bytes of a gzip stream (RFC 1952, 2.3.1).
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

/// A module and where it lies below `/lib/modules/<release>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Module {
    /// For example `kernel/drivers/virtio/virtio_mmio.ko`.
    pub(super) path: String,
    /// The `.ko` file.
    pub(super) content: Vec<u8>,
}

/// What was taken from the package.
#[derive(Debug)]
pub(super) struct KernelParts {
    /// Path of the raw `Image`.
    pub(super) image: PathBuf,
    /// What `uname -r` says.
    pub(super) release: String,
    /// In the order in which they are loaded.
    pub(super) modules: Vec<Module>,
}

/// Unpacks the locked kernel package into the output folder, unless that was done before.
pub(super) fn unpack_once(options: &GuestOptions, lock: &Lock, progress: &Progress<'_>) -> Result<KernelParts> {
    let name = format!("kernel-{}", &lock.kernel.sha256[..16]);
    let folder = options.output.join(&name);
    if !folder.exists() {
        let package = options.cache.obtain(&lock.release, &lock.kernel, progress)?;
        progress(&format!("unpacking {}", lock.kernel.name));
        let unpacked = Unpacked::from_package(&package)?;
        store(&unpacked, &options.output, &folder)?;
    }
    link_image(&options.output, &name)?;
    load(&options.output, &folder)
}

/// The package's parts in memory.
#[derive(Debug, Default)]
struct Unpacked {
    image: Vec<u8>,
    release: String,
    built_in: BTreeSet<String>,
    /// By module name.
    modules: BTreeMap<String, Module>,
}

impl Unpacked {
    fn from_package(package: &Path) -> Result<Self> {
        let mut wanted: BTreeSet<String> = WANTED_MODULES.map(str::to_owned).into();
        loop {
            let mut unpacked = Self::default();
            visit_files(package, &mut |path, reader| unpacked.take(path, reader, &wanted))?;
            ensure!(!unpacked.image.is_empty(), "{} holds no kernel", package.display());
            let further = unpacked.unmet_dependencies()?;
            if further.is_subset(&wanted) {
                return unpacked.checked(&wanted);
            }
            wanted.extend(further);
        }
    }

    fn take(&mut self, path: &str, reader: &mut dyn Read, wanted: &BTreeSet<String>) -> Result<ControlFlow<()>> {
        if let Some(release) = path.strip_prefix("boot/vmlinuz-") {
            self.release = release.to_owned();
            self.image = raw_image(read_limited(reader)?)?;
        } else if let Some(below) = below_modules_folder(path) {
            if below == "modules.builtin" {
                let text = String::from_utf8_lossy(&read_limited(reader)?).into_owned();
                self.built_in = text.lines().map(module_name).collect();
            } else if is_module(below) && wanted.contains(&module_name(below)) {
                self.take_module(below, read_limited(reader)?)?;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn take_module(&mut self, path: &str, content: Vec<u8>) -> Result<()> {
        let (path, content) = match path.strip_suffix(".xz") {
            Some(path) => (path, unpack_xz(&content)?),
            None => (path, content),
        };
        self.modules.insert(module_name(path), Module { path: path.to_owned(), content });
        Ok(())
    }

    fn unmet_dependencies(&self) -> Result<BTreeSet<String>> {
        let mut unmet = BTreeSet::new();
        for module in self.modules.values() {
            unmet.extend(dependencies(&module.content).with_context(|| format!("in {}", module.path))?);
        }
        unmet.retain(|name| !self.modules.contains_key(name) && !self.built_in.contains(name));
        Ok(unmet)
    }

    fn checked(self, wanted: &BTreeSet<String>) -> Result<Self> {
        let absent = |name: &&String| !self.modules.contains_key(*name) && !self.built_in.contains(*name);
        if let Some(name) = wanted.iter().find(absent) {
            bail!("the kernel package has no module {name}, and it is not built in");
        }
        Ok(self)
    }

    /// Dependencies before dependents.
    fn load_order(&self) -> Result<Vec<&Module>> {
        let mut order = Vec::new();
        let mut visited = BTreeSet::new();
        for name in self.modules.keys() {
            self.visit(name, &mut visited, &mut order)?;
        }
        Ok(order)
    }

    fn visit<'a>(&'a self, name: &str, visited: &mut BTreeSet<String>, order: &mut Vec<&'a Module>) -> Result<()> {
        let Some(module) = self.modules.get(name) else {
            return Ok(());
        };
        if visited.insert(name.to_owned()) {
            for dependency in dependencies(&module.content)? {
                self.visit(&dependency, visited, order)?;
            }
            order.push(module);
        }
        Ok(())
    }
}

/// Writes the parts into a folder that appears in one step, so that a folder that is there is complete.
fn store(unpacked: &Unpacked, output: &Path, folder: &Path) -> Result<()> {
    let draft = tempfile::tempdir_in(output).with_context(|| format!("cannot write into {}", output.display()))?;
    let write = |name: &Path, content: &[u8]| -> Result<()> {
        let path = draft.path().join(name);
        fs::create_dir_all(path.parent().unwrap_or(draft.path()))?;
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
    };
    let order = unpacked.load_order()?;
    for module in &order {
        write(Path::new(&module.path), &module.content)?;
    }
    let paths: Vec<&str> = order.iter().map(|module| module.path.as_str()).collect();
    write(Path::new("load-order"), paths.join("\n").as_bytes())?;
    write(Path::new("release"), unpacked.release.as_bytes())?;
    write(Path::new("Image"), &unpacked.image)?;
    let renamed = fs::rename(draft.path(), folder);
    // Another build may have been quicker; what it made is the same.
    ensure!(folder.join("Image").exists(), "cannot make {}: {renamed:?}", folder.display());
    Ok(())
}

fn load(output: &Path, folder: &Path) -> Result<KernelParts> {
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read(&path).with_context(|| {
            format!("cannot read {}; remove {} to have it made again", path.display(), folder.display())
        })
    };
    let text = |name: &str| read(name).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let modules = text("load-order")?
        .lines()
        .map(|path| Ok(Module { path: path.to_owned(), content: read(path)? }))
        .collect::<Result<_>>()?;
    Ok(KernelParts { image: output.join("Image"), release: text("release")?, modules })
}

/// Keeps the kernel at one place for whoever refers to it, whichever package it came from.
fn link_image(output: &Path, folder_name: &str) -> Result<()> {
    let target = Path::new(folder_name).join("Image");
    let link = output.join("Image");
    if fs::read_link(&link).is_ok_and(|current| current == target) {
        return Ok(());
    }
    let draft = tempfile::tempdir_in(output)?;
    std::os::unix::fs::symlink(&target, draft.path().join("Image"))
        .and_then(|()| fs::rename(draft.path().join("Image"), &link))
        .with_context(|| format!("cannot make {}", link.display()))
}

/// Unpacks a compressed kernel, and checks that the result is one that a loader can put into memory as it is.
fn raw_image(kernel: Vec<u8>) -> Result<Vec<u8>> {
    let image = if kernel.starts_with(GZIP_MAGIC) {
        read_limited(&mut flate2::read::GzDecoder::new(kernel.as_slice()))?
    } else {
        kernel
    };
    let (offset, magic) = IMAGE_MAGIC;
    ensure!(
        image.get(offset..offset + magic.len()) == Some(magic),
        "the kernel in the package is neither an arm64 Image nor one in gzip"
    );
    Ok(image)
}

/// What comes after `lib/modules/<release>/`, also where `/lib` lies in `/usr`. Only paths of plain names.
fn below_modules_folder(path: &str) -> Option<&str> {
    let path = path.strip_prefix("usr/").unwrap_or(path);
    let (_release, below) = path.strip_prefix("lib/modules/")?.split_once('/')?;
    below.split('/').all(|part| !matches!(part, "" | "." | "..")).then_some(below)
}

fn is_module(path: &str) -> bool {
    path.ends_with(".ko") || path.ends_with(".ko.xz")
}

/// The name by which modules refer to each other: no folder, no ending, and underscores, as the kernel sees them.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split_once(".ko").map_or(file, |(stem, _)| stem);
    stem.replace('-', "_")
}

/// The modules that a module says it depends on: `depends=a,b` among the NUL-ended strings of `.modinfo`.
fn dependencies(module: &[u8]) -> Result<Vec<String>> {
    let file = ElfBytes::<LittleEndian>::minimal_parse(module).context("a kernel module is not an ELF file")?;
    let section = file.section_header_by_name(".modinfo")?.context("a kernel module has no .modinfo section")?;
    let (information, _) = file.section_data(&section)?;
    Ok(information
        .split(|byte| *byte == 0)
        .filter_map(|entry| std::str::from_utf8(entry).ok()?.strip_prefix("depends="))
        .flat_map(|names| names.split(','))
        .filter(|name| !name.is_empty())
        .map(module_name)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::super::debian_package::tests::package_of;
    use super::*;

    /// A 64-bit little-endian ELF with the sections `.modinfo` and `.shstrtab`: what a module is to this file.
    fn module_that_depends_on(names: &str) -> Vec<u8> {
        const HEADER_BYTES: u64 = 64;
        let information = format!("license=GPL\0depends={names}\0name=x\0");
        let section_names = b"\0.modinfo\0.shstrtab\0";
        let names_offset = HEADER_BYTES + information.len() as u64;
        let sections_offset = names_offset + section_names.len() as u64;
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        let half = |file: &mut Vec<u8>, value: u16| file.extend(value.to_le_bytes());
        let long = |file: &mut Vec<u8>, value: u64| file.extend(value.to_le_bytes());
        half(&mut file, 1); // relocatable
        half(&mut file, 183); // AArch64
        file.extend(1_u32.to_le_bytes());
        long(&mut file, 0);
        long(&mut file, 0);
        long(&mut file, sections_offset);
        file.extend(0_u32.to_le_bytes());
        for value in [64, 0, 0, 64, 3, 2] {
            half(&mut file, value);
        }
        file.extend(information.bytes());
        file.extend(section_names);
        let sections = [
            (0_u32, 0_u32, 0, 0),
            (1, 1, HEADER_BYTES, information.len() as u64),
            (10, 3, names_offset, section_names.len() as u64),
        ];
        for (name, kind, offset, size) in sections {
            file.extend(name.to_le_bytes());
            file.extend(kind.to_le_bytes());
            for value in [0, 0, offset, size] {
                long(&mut file, value);
            }
            long(&mut file, 0); // link and info
            long(&mut file, 1); // alignment
            long(&mut file, 0);
        }
        file
    }

    fn image() -> Vec<u8> {
        let mut image = vec![0; 128];
        image[56..60].copy_from_slice(b"ARM\x64");
        image
    }

    fn unpack(files: &[(&str, &[u8])]) -> Result<Unpacked> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("kernel.deb");
        fs::write(&path, package_of(files)).expect("written");
        Unpacked::from_package(&path)
    }

    fn order(unpacked: &Unpacked) -> Vec<&str> {
        unpacked.load_order().expect("an order").iter().map(|module| module.path.as_str()).collect()
    }

    #[test]
    fn dependencies_are_taken_too_and_loaded_first() {
        let unpacked = unpack(&[
            ("./boot/vmlinuz-6.1-x", &image()),
            ("./lib/modules/6.1-x/kernel/virtio_console.ko", &module_that_depends_on("virtio-ring,core")),
            ("./lib/modules/6.1-x/kernel/virtio_mmio.ko", &module_that_depends_on("virtio_ring")),
            ("./lib/modules/6.1-x/kernel/virtio_ring.ko", &module_that_depends_on("deep")),
            ("./lib/modules/6.1-x/kernel/a/deep.ko", &module_that_depends_on("")),
            ("./lib/modules/6.1-x/kernel/unrelated.ko", b"not read"),
            ("./lib/modules/6.1-x/modules.builtin", b"kernel/lib/core.ko\n"),
        ])
        .expect("unpacked");
        assert_eq!(unpacked.release, "6.1-x");
        assert_eq!(
            order(&unpacked),
            ["kernel/a/deep.ko", "kernel/virtio_ring.ko", "kernel/virtio_console.ko", "kernel/virtio_mmio.ko"]
        );
    }

    #[test]
    fn a_module_may_be_built_in() {
        let unpacked = unpack(&[
            ("./boot/vmlinuz-6.1-x", &image()),
            ("./usr/lib/modules/6.1-x/modules.builtin", b"kernel/virtio_mmio.ko\nkernel/virtio-console.ko\n"),
        ])
        .expect("unpacked");
        assert!(order(&unpacked).is_empty());
    }

    #[test]
    fn a_module_that_is_nowhere_is_named() {
        let error = unpack(&[
            ("./boot/vmlinuz-6.1-x", &image()),
            ("./lib/modules/6.1-x/kernel/virtio_console.ko", &module_that_depends_on("gone")),
            ("./lib/modules/6.1-x/modules.builtin", b"kernel/virtio_mmio.ko\n"),
        ])
        .expect_err("refused");
        assert!(error.to_string().contains("no module gone"), "{error}");
    }

    #[test]
    fn modules_that_depend_on_each_other_do_not_hang() {
        let unpacked = unpack(&[
            ("./boot/vmlinuz-6.1-x", &image()),
            ("./lib/modules/6.1-x/kernel/virtio_console.ko", &module_that_depends_on("virtio_mmio")),
            ("./lib/modules/6.1-x/kernel/virtio_mmio.ko", &module_that_depends_on("virtio_console")),
        ])
        .expect("unpacked");
        assert_eq!(order(&unpacked).len(), 2);
    }

    #[test]
    fn a_package_without_a_kernel_is_refused() {
        assert!(unpack(&[("./etc/motd", b"hello")]).is_err());
    }

    #[test]
    fn a_kernel_in_gzip_becomes_an_image() {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&image()).expect("compressed");
        assert_eq!(raw_image(encoder.finish().expect("compressed")).expect("an image"), image());
    }

    #[test]
    fn another_machines_kernel_is_refused() {
        assert!(raw_image(b"MZ for some other machine".repeat(9)).is_err());
        assert!(raw_image(vec![]).is_err());
    }

    #[test]
    fn a_module_that_is_no_elf_file_is_refused() {
        assert!(dependencies(b"<html>").is_err());
        let module = module_that_depends_on("a");
        for length in 0..module.len() {
            // Whatever is cut off, it ends with a result.
            let _ = dependencies(&module[..length]);
        }
    }

    #[test]
    fn what_is_stored_is_what_is_loaded() {
        let output = tempfile::tempdir().expect("a temporary folder");
        let unpacked = unpack(&[
            ("./boot/vmlinuz-6.1-x", &image()),
            ("./lib/modules/6.1-x/kernel/b/virtio_console.ko", &module_that_depends_on("virtio_mmio")),
            ("./lib/modules/6.1-x/kernel/a/virtio_mmio.ko", &module_that_depends_on("")),
        ])
        .expect("unpacked");
        let folder = output.path().join("kernel-x");
        store(&unpacked, output.path(), &folder).expect("stored");
        store(&unpacked, output.path(), &folder).expect("a second build does no harm");
        link_image(output.path(), "kernel-x").expect("linked");
        let parts = load(output.path(), &folder).expect("loaded");
        assert_eq!(parts.release, "6.1-x");
        assert_eq!(fs::read(&parts.image).expect("readable"), image());
        assert_eq!(parts.modules.iter().collect::<Vec<_>>(), unpacked.load_order().expect("an order"));
    }
}
