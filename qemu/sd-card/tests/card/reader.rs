//! With `embedded-sdmmc`: a FAT reader for microcontrollers that has nothing in common with the writer.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::Path;

use embedded_sdmmc::{
    Block, BlockCount, BlockDevice, BlockIdx, LfnBuffer, Mode, TimeSource, Timestamp, VolumeIdx, VolumeManager,
};
use sd_card::card::BootFile;

use crate::{Card, compare};

struct Image(RefCell<File>);

impl BlockDevice for Image {
    type Error = io::Error;

    fn read(&self, blocks: &mut [Block], start: BlockIdx) -> Result<(), io::Error> {
        let mut file = self.0.borrow_mut();
        file.seek(SeekFrom::Start(start.into_bytes()))?;
        blocks.iter_mut().try_for_each(|block| file.read_exact(&mut block.contents))
    }

    fn write(&self, _: &[Block], _: BlockIdx) -> Result<(), io::Error> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn num_blocks(&self) -> Result<BlockCount, io::Error> {
        let blocks = self.0.borrow().metadata()?.len() / Block::LEN as u64;
        Ok(BlockCount(u32::try_from(blocks).map_err(io::Error::other)?))
    }
}

struct NoTime;

impl TimeSource for NoTime {
    fn get_timestamp(&self) -> Timestamp {
        Timestamp { year_since_1970: 10, zero_indexed_month: 0, zero_indexed_day: 0, hours: 0, minutes: 0, seconds: 0 }
    }
}

/// Every file of the first partition.
fn files(path: &Path) -> Vec<BootFile> {
    let image = Image(RefCell::new(File::open(path).expect("an image")));
    let manager = VolumeManager::new(image, NoTime);
    let volume = manager.open_volume(VolumeIdx(0)).expect("a FAT volume");
    let root = volume.open_root_dir().expect("a root folder");
    let mut space = [0; 256];
    let mut long_name = LfnBuffer::new(&mut space);
    let mut entries = Vec::new();
    root.iterate_dir_lfn(&mut long_name, |entry, long| {
        if !entry.attributes.is_volume() {
            entries.push((entry.name, long.map(str::to_owned)));
        }
        ControlFlow::Continue(())
    })
    .expect("a readable folder");
    entries
        .into_iter()
        .map(|(short, long)| {
            let file = root.open_file_in_dir(short, Mode::ReadOnly).expect("a readable file");
            let mut content = vec![0; file.length() as usize];
            let mut done = 0;
            while done < content.len() {
                done += file.read(&mut content[done..]).expect("readable");
            }
            BootFile::new(long.unwrap_or_else(|| short.to_string()), content)
        })
        .collect()
}

#[test]
fn another_library_finds_the_same_files() {
    let card = Card::made_up().expect("written");
    compare(&card, files(&card.path()));
}

#[test]
fn another_library_finds_the_real_cards_files() {
    let card = or_skip!(Card::real(b"no loader".repeat(1000)));
    compare(&card, files(&card.path()));
    assert_eq!(card.files.len(), 10);
}
