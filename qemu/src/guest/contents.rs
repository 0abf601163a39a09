//! What lies where in the guest.
//!
//! The scripts are in `qemu/guest`; this file only says which place each thing has. It decides nothing else, so that a
//! person who looks for a file of the guest finds it in one of two places.

use anyhow::Result;

use super::initramfs::{EXECUTABLE, Initramfs, READABLE};
use super::kernel::Module;

/// How `/init` starts the one line that says the guest is up; the prompt follows.
pub const READY_LINE: &str = "Atoll guest ready";

/// Everything that the image is made of.
#[derive(Debug)]
pub(super) struct Contents {
    /// The static busybox program.
    pub(super) busybox: Vec<u8>,
    /// The static `emit` program, if the guest gets one.
    pub(super) agent: Option<Vec<u8>>,
    /// Sample containers by file name.
    pub(super) samples: Vec<(String, Vec<u8>)>,
    /// Kernel modules in the order in which they are loaded.
    pub(super) modules: Vec<Module>,
    /// What `uname -r` says.
    pub(super) kernel_release: String,
}

impl Contents {
    /// The initramfs as bytes.
    pub(super) fn archive(&self) -> Result<Vec<u8>> {
        let mut tree = Initramfs::default();
        add_system(&mut tree)?;
        self.add_programs(&mut tree)?;
        self.add_modules(&mut tree)?;
        for (name, content) in &self.samples {
            tree.file(&format!("/root/{name}"), READABLE, content.as_slice())?;
        }
        tree.to_archive()
    }

    fn add_programs(&self, tree: &mut Initramfs) -> Result<()> {
        tree.file("/bin/busybox", EXECUTABLE, self.busybox.as_slice())?;
        if let Some(agent) = &self.agent {
            tree.file("/usr/bin/emit", EXECUTABLE, agent.as_slice())?;
        }
        Ok(())
    }

    fn add_modules(&self, tree: &mut Initramfs) -> Result<()> {
        let mut order = String::new();
        for module in &self.modules {
            let path = format!("/lib/modules/{}/{}", self.kernel_release, module.path);
            tree.file(&path, READABLE, module.content.as_slice())?;
            order.push_str(&path);
            order.push('\n');
        }
        tree.file("/etc/modules-load", READABLE, order)
    }
}

/// What is the same in every image.
fn add_system(tree: &mut Initramfs) -> Result<()> {
    // The folders that /init mounts on, and those that `busybox --install` fills with its programs' names.
    for path in ["/proc", "/sys", "/dev", "/run", "/tmp", "/root", "/sbin", "/usr/sbin", "/usr/bin", "/etc"] {
        tree.directory(path)?;
    }
    // The kernel opens /dev/console for /init before anything is mounted. Numbers: Linux, `admin-guide/devices.txt`.
    tree.character_device("/dev/console", 0o600, 5, 1)?;
    tree.character_device("/dev/null", 0o666, 1, 3)?;
    tree.file("/init", EXECUTABLE, include_str!("../../guest/init"))?;
    tree.file("/etc/inittab", READABLE, include_str!("../../guest/inittab"))?;
    tree.file("/etc/profile", READABLE, include_str!("../../guest/profile"))?;
    tree.file("/etc/passwd", READABLE, "root:x:0:0:root:/root:/bin/sh\n")?;
    tree.file("/etc/group", READABLE, "root:x:0:\n")?;
    tree.file("/usr/lib/atoll/shell", EXECUTABLE, include_str!("../../guest/shell"))?;
    tree.file("/usr/lib/atoll/virtio-ports", EXECUTABLE, include_str!("../../guest/virtio-ports"))
}

#[cfg(test)]
mod tests {
    use super::super::initramfs::tests::list;
    use super::*;

    fn contents() -> Contents {
        let module = |path: &str| Module { path: path.to_owned(), content: path.as_bytes().to_vec() };
        Contents {
            busybox: b"busybox".to_vec(),
            agent: Some(b"emit".to_vec()),
            samples: vec![("hello.wasm".to_owned(), b"\0asm".to_vec())],
            modules: vec![module("kernel/z/first.ko"), module("kernel/a/second.ko")],
            kernel_release: "6.1.0-1-arm64".to_owned(),
        }
    }

    #[test]
    fn modules_are_loaded_in_their_order_not_by_name() {
        let listed = list(&contents().archive().expect("an archive"));
        let order = listed.iter().find(|entry| entry.0 == "etc/modules-load").expect("the list");
        assert_eq!(
            String::from_utf8_lossy(&order.3),
            "/lib/modules/6.1.0-1-arm64/kernel/z/first.ko\n/lib/modules/6.1.0-1-arm64/kernel/a/second.ko\n"
        );
    }

    #[test]
    fn everything_a_script_calls_by_path_is_there_and_executable() {
        let listed = list(&contents().archive().expect("an archive"));
        for path in ["init", "bin/busybox", "usr/bin/emit", "usr/lib/atoll/shell", "usr/lib/atoll/virtio-ports"] {
            let entry = listed.iter().find(|entry| entry.0 == path).unwrap_or_else(|| panic!("{path} is missing"));
            assert_eq!(entry.1, 0o100_755, "{path}");
        }
    }

    #[test]
    fn the_ready_line_is_the_one_init_prints() {
        assert!(include_str!("../../guest/init").contains(&format!("echo \"{READY_LINE}:")));
    }

    #[test]
    fn a_sample_lies_in_roots_home() {
        let listed = list(&contents().archive().expect("an archive"));
        assert!(listed.iter().any(|entry| entry.0 == "root/hello.wasm" && entry.3 == b"\0asm"));
    }
}
