//! What a restart restores: the list that a child domain's program carries (`pd/shell/src/startup/restart.rs`).
//!
//! It is everything that the domain can write: the writable segments of its program, stack and IPC buffer, and each region
//! that `system.xml` maps writable. Made here, from the files that grant the right to write, and laid into the program's
//! read-only data, where the domain itself cannot change it.

use anyhow::{Context, Result, ensure};
use elf::{ElfBytes, abi, endian::LittleEndian};
use pd_system_description::{Domain, System};

/// Page size of everything that Microkit maps of its own.
const PAGE_BYTES: u64 = 4096;

/// Bytes of a word of the list.
const WORD_BYTES: u64 = 8;

/// One line of the list: `source` 0 zeroes, else copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    start: u64,
    bytes: u64,
    source: u64,
}

/// Where a symbol's bytes are.
#[derive(Debug, Clone, Copy)]
struct Place {
    address: u64,
    offset: usize,
    bytes: usize,
}

/// Writes the list into the program `elf`, which `users` run.
pub(super) fn fill_in(elf: &mut [u8], users: &[&Domain], system: &System, last_user_address: u64) -> Result<()> {
    let (entries, table, initial, stack_top) = {
        let parsed = ElfBytes::<LittleEndian>::minimal_parse(elf)?;
        let table = symbol(&parsed, "atoll_restart_table")?;
        let data = symbol(&parsed, "atoll_restart_data")?;
        let own = own_memory(users, system, last_user_address)?;
        let stack_top = stack_top(last_user_address);
        let (segments, initial) = segments(elf, &parsed, data)?;
        (segments.0.into_iter().chain(own).chain(segments.1).collect::<Vec<_>>(), table, (data, initial), stack_top)
    };
    let zeroed = entries.iter().filter(|entry| entry.source == 0).count() as u64;
    let mut words = vec![zeroed, entries.len() as u64 - zeroed, stack_top];
    words.extend(entries.iter().flat_map(|entry| [entry.start, entry.bytes, entry.source]));
    let list: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    overwrite(elf, table, &list)?;
    overwrite(elf, initial.0, &initial.1)
}

/// Lists that are zeroed, and that are copied.
type Lists = (Vec<Entry>, Vec<Entry>);

/// The program's writable segments, zeroed page by page and then given back what they began with; and those bytes, as they
/// will lie in `data`.
fn segments(file: &[u8], elf: &ElfBytes<'_, LittleEndian>, data: Place) -> Result<(Lists, Vec<u8>)> {
    let (mut zeroed, mut copied, mut initial) = (Vec::new(), Vec::new(), Vec::new());
    let headers = elf.segments().context("the program has no segments")?;
    for header in headers.iter().filter(|header| header.p_type == abi::PT_LOAD && header.p_flags & abi::PF_W != 0) {
        let start = header.p_vaddr / PAGE_BYTES * PAGE_BYTES;
        let end = (header.p_vaddr + header.p_memsz).next_multiple_of(PAGE_BYTES);
        zeroed.push(Entry { start, bytes: end - start, source: 0 });
        if header.p_filesz == 0 {
            continue;
        }
        let lead = header.p_vaddr % WORD_BYTES;
        let source = data.address + initial.len() as u64;
        let offset = usize::try_from(header.p_offset)?;
        let bytes = file.get(offset..offset + usize::try_from(header.p_filesz)?).context("a segment is cut off")?;
        initial.resize(initial.len() + usize::try_from(lead)?, 0);
        initial.extend_from_slice(bytes);
        initial.resize(initial.len().next_multiple_of(usize::try_from(WORD_BYTES)?), 0);
        let copied_bytes = data.address + initial.len() as u64 - source;
        copied.push(Entry { start: header.p_vaddr - lead, bytes: copied_bytes, source });
    }
    Ok(((zeroed, copied), initial))
}

/// Stack, IPC buffer, and the regions that the domain may write. All that run the program must have the same.
fn own_memory(users: &[&Domain], system: &System, last_user_address: u64) -> Result<Vec<Entry>> {
    let mut lists = users.iter().map(|domain| own_memory_of(domain, system, last_user_address));
    let first = lists.next().context("nobody runs the program")??;
    for (list, domain) in lists.zip(&users[1..]) {
        ensure!(
            list? == first,
            "`{}` can write other memory than `{}`, which runs the same program",
            domain.name,
            users[0].name
        );
    }
    Ok(first)
}

fn own_memory_of(domain: &Domain, system: &System, last_user_address: u64) -> Result<Vec<Entry>> {
    let zeroed = |start, bytes| Entry { start, bytes, source: 0 };
    let top = stack_top(last_user_address);
    let mut entries = vec![
        zeroed(last_user_address / PAGE_BYTES * PAGE_BYTES, PAGE_BYTES),
        zeroed(top - domain.stack_bytes, domain.stack_bytes),
    ];
    for map in domain.maps.iter().filter(|map| map.access.write) {
        let region =
            system.region(&map.region).with_context(|| format!("there is no memory region `{}`", map.region))?;
        ensure!(!region.is_device(), "`{}` is a device, and must not be zeroed", map.region);
        entries.push(zeroed(map.address, region.size_bytes));
    }
    Ok(entries)
}

/// Where Microkit's stacks begin: the last page holds the IPC buffer, and one between them stays unmapped.
fn stack_top(last_user_address: u64) -> u64 {
    last_user_address / PAGE_BYTES * PAGE_BYTES - PAGE_BYTES
}

fn symbol(elf: &ElfBytes<'_, LittleEndian>, name: &str) -> Result<Place> {
    let (symbols, names) = elf.symbol_table()?.context("the program has no symbols")?;
    let found = symbols.iter().find(|symbol| names.get(symbol.st_name as usize).is_ok_and(|known| known == name));
    let found = found.with_context(|| format!("the program has no symbol `{name}`"))?;
    let headers = elf.segments().context("the program has no segments")?;
    let header = headers
        .iter()
        .find(|header| {
            header.p_type == abi::PT_LOAD
                && header.p_flags & abi::PF_W == 0
                && (header.p_vaddr..header.p_vaddr + header.p_filesz).contains(&found.st_value)
        })
        .with_context(|| format!("`{name}` is not in the program's read-only data"))?;
    let offset = usize::try_from(header.p_offset + (found.st_value - header.p_vaddr))?;
    Ok(Place { address: found.st_value, offset, bytes: usize::try_from(found.st_size)? })
}

fn overwrite(elf: &mut [u8], place: Place, bytes: &[u8]) -> Result<()> {
    ensure!(bytes.len() <= place.bytes, "there is room for {} bytes, {} are needed", place.bytes, bytes.len());
    let target = elf.get_mut(place.offset..place.offset + bytes.len()).context("the program is cut off")?;
    target.copy_from_slice(bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use pd_system_description::Description;

    use super::*;

    /// The last address of the SDK's boards for this kernel.
    const LAST_USER_ADDRESS: u64 = 0xff_ffff_ffff;

    fn atoll() -> System {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let board = root.join("pd/boards/qemu_virt_aarch64.xml");
        Description::load(&root.join("system.xml"), &board).and_then(|description| description.system()).unwrap()
    }

    fn cells(system: &System) -> Vec<&Domain> {
        system.domains.iter().filter(|domain| domain.image.as_deref() == Some("cell.elf")).collect()
    }

    #[test]
    fn everything_that_a_cell_may_write_is_on_the_list() {
        let system = atoll();
        let users = cells(&system);
        assert!(users.len() >= 4);
        let list = own_memory(&users, &system, LAST_USER_ADDRESS).unwrap();
        let covered = |address| list.iter().any(|entry| (entry.start..entry.start + entry.bytes).contains(&address));
        for map in users[0].maps.iter().filter(|map| map.access.write) {
            let bytes = system.region(&map.region).unwrap().size_bytes;
            assert!(covered(map.address) && covered(map.address + bytes - 1), "{}", map.region);
        }
        for map in users[0].maps.iter().filter(|map| !map.access.write) {
            assert!(!covered(map.address), "{} would fault", map.region);
        }
        // IPC buffer and stack, with the unmapped page between them and the one below.
        assert!(covered(LAST_USER_ADDRESS) && !covered(LAST_USER_ADDRESS - PAGE_BYTES));
        assert!(covered(stack_top(LAST_USER_ADDRESS) - 1));
        assert!(!covered(stack_top(LAST_USER_ADDRESS) - users[0].stack_bytes - 1));
    }

    #[test]
    fn domains_that_differ_in_what_they_may_write_cannot_share_a_program() {
        let mut system = atoll();
        let last = system.domains.iter().rposition(|domain| domain.image.as_deref() == Some("cell.elf")).unwrap();
        system.domains[last].stack_bytes *= 2;
        let error = own_memory(&cells(&system), &system, LAST_USER_ADDRESS).unwrap_err();
        assert!(error.to_string().contains("other memory"), "{error}");
    }

    #[test]
    fn a_device_is_never_zeroed() {
        let system = atoll();
        let gpio = system.domain("gpio").unwrap();
        let error = own_memory(&[gpio], &system, LAST_USER_ADDRESS).unwrap_err();
        assert!(error.to_string().contains("gpio_registers"), "{error}");
    }

    #[test]
    fn a_program_without_the_list_is_an_error() {
        let system = atoll();
        let mut program = vec![0; 64];
        assert!(fill_in(&mut program, &cells(&system), &system, LAST_USER_ADDRESS).is_err());
    }
}
