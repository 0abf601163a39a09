//! Regions and channels as kernel objects of Linux, and who gets which.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, anyhow};
use pd_system_description::{DomainKind, DomainWiring, Peer, Region, Role, System};
use runner_interfaces::boot_report::{Standing, standing};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create, open};
use rustix::io::Errno;

use crate::substrate::event_loop::{bell, clear};
use crate::substrate::handover::{ChannelPart, ChannelUse, RegionPart};
use crate::substrate::mapping::{PAGE_BYTES, map_region};

/// One region.
struct RegionObject {
    size_bytes: u64,
    writable: File,
    /// Opened read-only: whoever gets it cannot map the region writable.
    readable: OwnedFd,
    /// No process will map it writable any more once every domain has started: its writer is never started again.
    settled: bool,
}

/// One direction of a channel's notifications, by (receiving domain, its channel number).
type Port = (String, u8);

/// The page and doorbell of a channel's calls, by the serving end.
struct CallObject {
    page: OwnedFd,
    doorbell: OwnedFd,
}

/// What the image holds of regions that it fills, by their names.
pub(super) type Prefilled = HashMap<String, Vec<u8>>;

/// Everything that domains share.
pub(super) struct Objects {
    regions: HashMap<String, RegionObject>,
    notifications: HashMap<Port, OwnedFd>,
    calls: HashMap<Port, CallObject>,
}

/// Regions that there are none of on a host: devices, what belongs to the Linux guest, and heaps (a process has its own, of
/// that size).
fn is_left_out(region: &Region) -> bool {
    region.is_device() || region.name.starts_with("guest_") || region.name.ends_with("_heap")
}

/// Whether a domain's process may be started anew, and then maps its writable regions once more.
pub(super) const fn is_restartable(role: Role) -> bool {
    matches!(role, Role::Cell(_) | Role::Vmm)
}

impl Objects {
    /// Makes them, those in `prefilled` with those bytes.
    pub(super) fn make(system: &System, prefilled: &Prefilled) -> Result<Self> {
        let mut objects = Self { regions: HashMap::new(), notifications: HashMap::new(), calls: HashMap::new() };
        for region in system.regions.iter().filter(|region| !is_left_out(region)) {
            let object = make_region(system, region, prefilled)
                .with_context(|| format!("cannot make the region `{}`", region.name))?;
            objects.regions.insert(region.name.clone(), object);
        }
        for channel in &system.channels {
            let [first, second] = &channel.ends;
            for (sender, receiver) in [(first, second), (second, first)] {
                let port = (receiver.domain.clone(), receiver.id);
                if sender.may_notify {
                    objects.notifications.insert(port.clone(), bell()?);
                }
                if sender.may_call {
                    objects.calls.insert(port, make_call()?);
                }
            }
        }
        Ok(objects)
    }

    /// How `domain` stands by the report in its status region.
    pub(super) fn standing(&self, domain: &str) -> Result<Standing> {
        let region = self.regions.get(&format!("{domain}_status"));
        let region = region.with_context(|| format!("`{domain}` has no status region"))?;
        let memory = map_region(region.readable.try_clone()?, usize::try_from(region.size_bytes)?, false)?;
        Ok(standing(&memory))
    }

    /// What `wiring`'s domain gets: descriptions, and the descriptors in their order.
    pub(super) fn parts(
        &self,
        wiring: &DomainWiring,
    ) -> Result<(Vec<RegionPart>, Vec<ChannelPart>, Vec<BorrowedFd<'_>>)> {
        let mut descriptors = Vec::new();
        let mut regions = Vec::new();
        for given in &wiring.regions {
            let (Some(symbol), Some(object)) = (&given.symbol, self.regions.get(&given.region)) else { continue };
            let writable = given.access.write;
            descriptors.push(if writable { object.writable.as_fd() } else { object.readable.as_fd() });
            regions.push(RegionPart { symbol: symbol.clone(), size_bytes: object.size_bytes, writable });
        }
        let mut channels = Vec::new();
        for given in &wiring.channels {
            let uses = self.uses(&wiring.domain, given, &mut descriptors)?;
            channels.push(ChannelPart { symbol: given.symbol.clone(), number: given.number, uses });
        }
        Ok((regions, channels, descriptors))
    }

    fn uses<'a>(
        &'a self,
        domain: &str,
        channel: &pd_system_description::ChannelWiring,
        descriptors: &mut Vec<BorrowedFd<'a>>,
    ) -> Result<Vec<ChannelUse>> {
        let Peer::Domain { name, number } = &channel.peer else { return Ok(vec![ChannelUse::Interrupt]) };
        let here: Port = (domain.to_owned(), channel.number);
        let there: Port = (name.clone(), *number);
        let missing = || anyhow!("channel {} of `{domain}` has no other end", channel.number);
        let mut uses = Vec::new();
        let notifications =
            [(channel.may_notify, ChannelUse::Notify, &there), (channel.may_be_notified, ChannelUse::Notified, &here)];
        for (_, usage, port) in notifications.into_iter().filter(|(given, ..)| *given) {
            descriptors.push(self.notifications.get(port).ok_or_else(missing)?.as_fd());
            uses.push(usage);
        }
        let calls = [(channel.may_call, ChannelUse::Call, &there), (channel.may_be_called, ChannelUse::Serve, &here)];
        for (_, usage, port) in calls.into_iter().filter(|(given, ..)| *given) {
            let call = self.calls.get(port).ok_or_else(missing)?;
            descriptors.extend([call.page.as_fd(), call.doorbell.as_fd()]);
            uses.push(usage);
        }
        Ok(uses)
    }

    /// Every domain has mapped its memory: from here on nobody can map a region writable whose writer has it. Answers
    /// whether Linux can do that (5.1 and later).
    pub(super) fn settle(&self) -> Result<bool> {
        let mut supported = true;
        for region in self.regions.values() {
            if region.settled {
                match fcntl_add_seals(&region.writable, SealFlags::FUTURE_WRITE) {
                    Ok(()) => {}
                    Err(Errno::INVAL) => supported = false,
                    Err(error) => return Err(error.into()),
                }
            }
            fcntl_add_seals(&region.writable, SealFlags::SEAL)?;
        }
        Ok(supported)
    }

    /// Leaves nothing of a stopped cell for its next life: what it wrote, and what it was notified of.
    pub(super) fn scrub(&self, system: &System, cell: &str) -> Result<()> {
        let maps = system.domain(cell).map(|domain| domain.maps.as_slice()).unwrap_or_default();
        for map in maps.iter().filter(|map| map.access.write) {
            if let Some(region) = self.regions.get(&map.region) {
                clear_region(region).with_context(|| format!("cannot clear `{}`", map.region))?;
            }
        }
        for (_, bell) in self.notifications.iter().filter(|((receiver, _), _)| receiver == cell) {
            clear(bell);
        }
        Ok(())
    }
}

fn clear_region(region: &RegionObject) -> Result<()> {
    let zeros = vec![0; usize::try_from(region.size_bytes)?];
    Ok(region.writable.write_all_at(&zeros, 0)?)
}

fn make_region(system: &System, region: &Region, prefilled: &Prefilled) -> Result<RegionObject> {
    let writable = File::from(sealed_memory(&region.name, region.size_bytes)?);
    if let Some(bytes) = prefilled.get(&region.name) {
        writable.write_all_at(bytes, 0)?;
    }
    // A prefilled region has no writer; of the others, all must be domains that are never started again.
    let mut writers = system
        .maps_of(&region.name)
        .filter(|(domain, map)| domain.kind == DomainKind::Protection && map.access.write)
        .map(|(domain, _)| Role::of(&domain.name));
    let settled = writers.all(|role| role.is_some_and(|role| !is_restartable(role)));
    // Another open of the same memory: its access mode is its own.
    let path = format!("/proc/self/fd/{}", writable.as_raw_fd());
    let readable = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(RegionObject { size_bytes: region.size_bytes, writable, readable, settled })
}

/// Memory whose size is fixed, so that an access within it can never fail.
fn sealed_memory(name: &str, size_bytes: u64) -> Result<OwnedFd> {
    let memory = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&memory, size_bytes)?;
    fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW)?;
    Ok(memory)
}

fn make_call() -> Result<CallObject> {
    let page = sealed_memory("call", PAGE_BYTES as u64)?;
    fcntl_add_seals(&page, SealFlags::SEAL)?;
    Ok(CallObject { page, doorbell: bell()? })
}

#[cfg(test)]
mod tests {
    use rustix::fs::{OFlags, fcntl_getfl};

    use super::*;
    use crate::launcher::description;
    use crate::substrate::mapping::map_region;

    fn system() -> System {
        description(None).and_then(|description| Ok(description.system()?)).expect("parses")
    }

    #[test]
    fn a_domain_gets_descriptors_for_exactly_its_rights() {
        let system = system();
        let objects = Objects::make(&system, &Prefilled::new()).expect("made");
        for domain in system.domains.iter().filter(|domain| domain.kind == DomainKind::Protection) {
            let wiring = system.wiring(&domain.name).expect("wired");
            let (regions, channels, descriptors) = objects.parts(&wiring).expect("given");
            let uses = channels.iter().flat_map(|channel| &channel.uses);
            let expected = regions.len() + uses.map(|usage| usage.descriptors()).sum::<usize>();
            assert_eq!(descriptors.len(), expected, "{}", domain.name);
            for (region, descriptor) in regions.iter().zip(&descriptors) {
                let map = wiring.region(&region.symbol).expect("described");
                assert_eq!(region.writable, map.access.write, "{} {}", domain.name, region.symbol);
                let mode = fcntl_getfl(descriptor).expect("open") & OFlags::ACCMODE;
                assert_eq!(mode == OFlags::RDWR, map.access.write, "{} {}", domain.name, region.symbol);
            }
        }
    }

    #[test]
    fn devices_and_the_guests_memory_are_left_out() {
        let system = system();
        let objects = Objects::make(&system, &Prefilled::new()).expect("made");
        let wiring = system.wiring("vmm").expect("wired");
        let (regions, _, _) = objects.parts(&wiring).expect("given");
        let symbols = regions.iter().map(|region| region.symbol.as_str());
        let mut symbols: Vec<_> = symbols.filter(|symbol| !symbol.ends_with("_status")).collect();
        symbols.sort_unstable();
        assert_eq!(symbols, ["region_link_in", "region_link_in_head", "region_link_out", "region_link_out_head"]);
    }

    #[test]
    fn what_was_given_read_only_cannot_be_mapped_writable() {
        let objects = Objects::make(&system(), &Prefilled::new()).expect("made");
        let grants = &objects.regions["grants"];
        assert!(map_region(&grants.readable, 4096, false).is_ok());
        assert!(map_region(&grants.readable, 4096, true).is_err());
    }

    #[test]
    fn once_settled_not_even_the_writers_descriptor_maps_it_again() {
        let objects = Objects::make(&system(), &Prefilled::new()).expect("made");
        let grants = &objects.regions["grants"];
        map_region(&grants.writable, 4096, true).expect("the warden maps it at its start");
        if objects.settle().expect("settled") {
            assert!(map_region(&grants.writable, 4096, true).is_err());
            assert!(map_region(&objects.regions["policy"].writable, 4096, true).is_err());
        }
        assert!(ftruncate(&grants.writable, 0).is_err(), "and nobody can shrink it under the others");
        let status = &objects.regions["cell0_status"];
        map_region(&status.writable, 4096, true).expect("a cell that is started again maps it once more");
    }

    #[test]
    fn nothing_of_a_cell_is_left_after_a_scrub() {
        let system = system();
        let objects = Objects::make(&system, &Prefilled::new()).expect("made");
        for name in ["cell1_status", "cell1_to_admission", "cell2_status", "warden_to_cell1"] {
            objects.regions[name].writable.write_all_at(b"secret", 100).expect("written");
        }
        objects.scrub(&system, "cell1").expect("scrubbed");
        let found = |name: &str| {
            let mut bytes = [0; 6];
            objects.regions[name].writable.read_exact_at(&mut bytes, 100).expect("read");
            bytes
        };
        assert_eq!(found("cell1_status"), [0; 6]);
        assert_eq!(found("cell1_to_admission"), [0; 6]);
        assert_eq!(&found("cell2_status"), b"secret", "another cell's is its own");
        assert_eq!(&found("warden_to_cell1"), b"secret", "and the warden's");
    }
}
