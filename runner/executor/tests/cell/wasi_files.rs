//! Files of a container through WASI preview 1: each function, and each way that it refuses.

#![allow(clippy::cast_possible_truncation, reason = "arguments of any size are cut to the parameter's")]

use proptest::prelude::*;
use runner_container::{FILES_SECTION, encode_files};
use runner_interfaces::{
    cell::{Command, FailureReason},
    output::{OUTPUT_PAYLOAD_BYTES, Stream},
};

use crate::{
    support::*,
    wasi::functions,
    wasi_script::{READING, Script},
};

const BADF: i64 = 8;
const EXIST: i64 = 20;
const ILSEQ: i64 = 25;
const INVAL: i64 = 28;
const ISDIR: i64 = 31;
const MFILE: i64 = 33;
const NAMETOOLONG: i64 = 37;
const NOENT: i64 = 44;
const NOSYS: i64 = 52;
const NOTDIR: i64 = 54;
const NOTSOCK: i64 = 57;
const ROFS: i64 = 69;
const SPIPE: i64 = 70;
const NOTCAPABLE: i64 = 76;

/// `oflags`.
const CREAT: i64 = 1;
const DIRECTORY: i64 = 2;
const EXCL: i64 = 4;
const TRUNC: i64 = 8;

/// The right to write.
const WRITE: i64 = 1 << 6;

/// The first descriptor that a program opens.
const OPENED: i64 = 4;

const FILES: &[(&str, &[u8])] =
    &[("hello.txt", b"Hello, reef!"), ("data/empty", b""), ("data/sub/numbers", b"0123456789")];

fn script() -> Script {
    Script::with_files(FILES)
}

#[test]
fn the_folder_of_the_files_is_descriptor_3() {
    let mut script = script();
    script
        .call("fd_prestat_get", &[3, 32], 0)
        .holds_byte(32, 0)
        .holds(36, 1)
        .call("fd_prestat_dir_name", &[3, 48, 1], 0)
        .holds_text(48, "/")
        .call("fd_prestat_dir_name", &[3, 48, 0], NAMETOOLONG)
        .call("fd_prestat_get", &[4, 32], BADF)
        .call("fd_prestat_get", &[1, 32], BADF)
        .call("fd_prestat_dir_name", &[2, 48, 1], BADF)
        .call("fd_fdstat_get", &[3, 64], 0)
        .holds_byte(64, 3)
        .call("fd_filestat_get", &[3, 128], 0)
        .holds(128, 1)
        .holds_byte(144, 3);
    script.assert_works();
}

#[test]
fn without_files_there_is_no_folder() {
    let mut script = Script::with_files(&[]);
    script.call("fd_prestat_get", &[3, 32], BADF).open(3, "hello.txt", 0, BADF);
    script.assert_works();
}

#[test]
fn a_file_is_read_from_where_the_last_read_ended() {
    let mut script = script();
    script
        .open(3, "hello.txt", 0, 0)
        .holds(0, OPENED)
        .vector(1000, 7)
        .call("fd_read", &[OPENED, 16, 1, 8], 0)
        .holds(8, 7)
        .holds_text(1000, "Hello, ")
        .call("fd_tell", &[OPENED, 40], 0)
        .holds(40, 7)
        .call("fd_read", &[OPENED, 16, 1, 8], 0)
        .holds(8, 5)
        .holds_text(1000, "reef!, ")
        .call("fd_read", &[OPENED, 16, 1, 8], 0)
        .holds(8, 0)
        .call("fd_close", &[OPENED], 0)
        .call("fd_read", &[OPENED, 16, 1, 8], BADF)
        .call("fd_close", &[OPENED], BADF);
    script.assert_works();
}

#[test]
fn a_read_fills_its_vectors_in_a_row() {
    let mut script = script();
    script
        .open(3, "data/sub/numbers", 0, 0)
        .vector(1000, 3)
        // Three more vectors: none at all, four bytes, and one that is not filled.
        .code("(i32.store (i32.const 32) (i32.const 1010)) (i32.store (i32.const 36) (i32.const 4))")
        .code("(i32.store (i32.const 40) (i32.const 1020)) (i32.store (i32.const 44) (i32.const 9))")
        .call("fd_read", &[OPENED, 16, 4, 8], 0)
        .holds(8, 10)
        .holds_text(1000, "012\0")
        .holds_text(1010, "3456\0")
        .holds_text(1020, "789\0")
        .call("fd_read", &[OPENED, 16, 1025, 8], INVAL);
    script.assert_works();
}

#[test]
fn reading_at_a_place_moves_nothing() {
    let mut script = script();
    script
        .open(3, "data/sub/numbers", 0, 0)
        .vector(1000, 4)
        .call("fd_pread", &[OPENED, 16, 1, 5, 8], 0)
        .holds(8, 4)
        .holds_text(1000, "5678")
        .call("fd_pread", &[OPENED, 16, 1, 8, 8], 0)
        .holds(8, 2)
        .call("fd_pread", &[OPENED, 16, 1, 10, 8], 0)
        .holds(8, 0)
        .call("fd_pread", &[OPENED, 16, 1, -1, 8], 0)
        .holds(8, 0)
        .call("fd_tell", &[OPENED, 40], 0)
        .holds(40, 0)
        .call("fd_pread", &[0, 16, 1, 0, 8], SPIPE)
        .call("fd_pread", &[3, 16, 1, 0, 8], ISDIR);
    script.assert_works();
}

#[test]
fn a_position_is_any_number_that_is_not_negative() {
    let mut script = script();
    script
        .open(3, "data/sub/numbers", 0, 0)
        .call("fd_seek", &[OPENED, 4, 0, 40], 0)
        .call("fd_seek", &[OPENED, -1, 1, 40], 0)
        .holds(40, 3)
        .vector(1000, 1)
        .call("fd_read", &[OPENED, 16, 1, 8], 0)
        .holds_text(1000, "3")
        .call("fd_seek", &[OPENED, -2, 2, 40], 0)
        .holds(40, 8)
        .call("fd_seek", &[OPENED, 1000, 2, 40], 0)
        .holds(40, 1010)
        .call("fd_read", &[OPENED, 16, 1, 8], 0)
        .holds(8, 0)
        .call("fd_seek", &[OPENED, -1011, 1, 40], INVAL)
        .call("fd_seek", &[OPENED, i64::MAX, 1, 40], INVAL)
        .call("fd_seek", &[OPENED, -1, 0, 40], INVAL)
        .call("fd_seek", &[OPENED, 0, 3, 40], INVAL)
        .call("fd_tell", &[OPENED, 40], 0)
        .holds(40, 1010)
        .call("fd_seek", &[3, 0, 0, 40], ISDIR)
        .call("fd_tell", &[3, 40], ISDIR)
        .call("fd_tell", &[1, 40], SPIPE)
        .call("fd_tell", &[9, 40], BADF);
    script.assert_works();
}

#[test]
fn paths_stay_below_their_folder() {
    let mut script = script();
    for path in ["hello.txt", "data/../hello.txt", "./data//sub/./../../hello.txt", "data", "data/", ".", "data/sub/.."]
    {
        script.open(3, path, 0, 0).call("fd_close", &[OPENED], 0);
    }
    for (path, errno) in [
        ("", NOENT),
        ("hello", NOENT),
        ("data/none", NOENT),
        ("none/hello.txt", NOENT),
        ("hello.txt/", NOTDIR),
        ("hello.txt/x", NOTDIR),
        ("hello.txt\0", NOENT),
        ("..", NOTCAPABLE),
        ("data/../..", NOTCAPABLE),
        ("/hello.txt", NOTCAPABLE),
    ] {
        script.open(3, path, 0, errno);
    }
    script
        .open(3, "data", DIRECTORY, 0)
        .open(OPENED, "sub/numbers", 0, 0)
        .open(OPENED, "../hello.txt", 0, NOTCAPABLE)
        .open(OPENED + 1, "x", 0, NOTDIR)
        .open(1, "x", 0, NOTDIR)
        .open(9, "x", 0, BADF)
        .open(3, &"x/".repeat(513), 0, NAMETOOLONG);
    let [at, length] = script.bytes(b"data/\xff");
    script.call("path_open", &[3, 0, at, length, 0, 0, 0, 0, 0], ILSEQ);
    script.assert_works();
}

#[test]
fn opening_says_that_nothing_can_be_written() {
    let mut script = script();
    script
        .open_with(3, "hello.txt", 0, READING | WRITE, ROFS)
        .open(3, "hello.txt", TRUNC, ROFS)
        .open(3, "hello.txt", CREAT | EXCL, EXIST)
        .open(3, "new.txt", CREAT, ROFS)
        .open(3, "none/new.txt", CREAT, NOENT)
        .open(3, "hello.txt", DIRECTORY, NOTDIR)
        .open_with(3, "data", DIRECTORY, READING | WRITE, ISDIR)
        .open(3, "data", CREAT, ISDIR)
        .open(3, "hello.txt", 16, INVAL)
        .open(3, "hello.txt", CREAT, 0)
        .holds(0, OPENED);
    let [at, length] = script.bytes(b"hello.txt");
    script
        .call("path_open", &[3, 2, at, length, 0, 0, 0, 0, 0], INVAL)
        .call("path_open", &[3, 0, at, length, 0, 0, 0, 32, 0], INVAL)
        .call("path_open", &[3, 0, at, length, 0, 0, 0, 5, 0], 0)
        .call("fd_fdstat_get", &[OPENED + 1, 64], 0)
        .holds_byte(64, 4)
        .holds_byte(66, 5)
        .holds(72, 0);
    script.assert_works();
}

#[test]
fn nothing_is_changed() {
    let mut script = script();
    let [at, length] = script.bytes(b"hello.txt");
    let [new_at, new_length] = script.bytes(b"new.txt");
    script
        .path("path_create_directory", 3, "new", ROFS)
        .path("path_create_directory", 3, "data", EXIST)
        .path("path_create_directory", 3, "none/new", NOENT)
        .path("path_create_directory", 3, "../new", NOTCAPABLE)
        .path("path_create_directory", 1, "new", NOTDIR)
        .path("path_create_directory", 9, "new", BADF)
        .path("path_remove_directory", 3, "data", ROFS)
        .path("path_remove_directory", 3, "none", NOENT)
        .path("path_unlink_file", 3, "hello.txt", ROFS)
        .path("path_unlink_file", 3, "none", NOENT)
        .call("path_rename", &[3, at, length, 3, new_at, new_length], ROFS)
        .call("path_rename", &[3, new_at, new_length, 3, at, length], NOENT)
        .call("path_link", &[3, 0, at, length, 3, new_at, new_length], ROFS)
        .call("path_link", &[3, 0, at, length, 3, at, length], EXIST)
        .call("path_symlink", &[at, length, 3, new_at, new_length], ROFS)
        .call("path_symlink", &[at, length, 3, at, length], EXIST)
        .call("path_filestat_set_times", &[3, 0, at, length, 0, 0, 1], ROFS)
        .call("path_filestat_set_times", &[3, 0, at, length, 0, 0, 3], INVAL)
        .call("path_filestat_set_times", &[3, 0, new_at, new_length, 0, 0, 1], NOENT)
        .open(3, "hello.txt", 0, 0)
        .vector(1000, 4)
        .call("fd_write", &[OPENED, 16, 1, 8], NOTCAPABLE)
        .call("fd_pwrite", &[OPENED, 16, 1, 0, 8], NOTCAPABLE)
        .call("fd_write", &[3, 16, 1, 8], ISDIR)
        .call("fd_pwrite", &[3, 16, 1, 0, 8], ISDIR)
        .call("fd_pwrite", &[1, 16, 1, 0, 8], SPIPE)
        .call("fd_allocate", &[OPENED, 0, 100], NOTCAPABLE)
        .call("fd_allocate", &[3, 0, 100], ISDIR)
        .call("fd_filestat_set_size", &[OPENED, 0], NOTCAPABLE)
        .call("fd_filestat_set_size", &[9, 0], BADF)
        .call("fd_filestat_set_times", &[OPENED, 0, 0, 1], ROFS)
        .call("fd_filestat_set_times", &[OPENED, 0, 0, 12], INVAL)
        .call("fd_filestat_set_times", &[1, 0, 0, 1], NOTCAPABLE)
        .call("fd_read", &[OPENED, 16, 1, 8], 0)
        .holds_text(1000, "Hell");
    script.assert_works();
}

#[test]
fn what_a_file_is_can_be_asked_by_path_and_by_descriptor() {
    let mut script = script();
    let [at, length] = script.bytes(b"data/sub/numbers");
    let [folder_at, folder_length] = script.bytes(b"data/sub");
    let [none_at, none_length] = script.bytes(b"data/none");
    script
        .call("path_filestat_get", &[3, 1, at, length, 256], 0)
        .holds(256, 1)
        .holds_byte(272, 4)
        .holds(280, 1)
        .holds(288, 10)
        .open(3, "data/sub/numbers", 0, 0)
        .call("fd_filestat_get", &[OPENED, 320], 0)
        .holds(352, 10)
        .code(
            "(call $want (i32.const 999) (i32.const 1) (i64.eq (i64.load (i32.const 264)) (i64.load (i32.const 328))))",
        )
        .call("path_filestat_get", &[3, 0, folder_at, folder_length, 320], 0)
        .holds_byte(336, 3)
        .code(
            "(call $want (i32.const 999) (i32.const 0) (i64.eq (i64.load (i32.const 264)) (i64.load (i32.const 328))))",
        )
        .call("path_filestat_get", &[3, 0, none_at, none_length, 320], NOENT)
        .call("path_filestat_get", &[3, 2, at, length, 320], INVAL)
        .call("path_filestat_get", &[OPENED, 0, at, length, 320], NOTDIR)
        .call("path_readlink", &[3, at, length, 320, 8, 400], INVAL)
        .call("path_readlink", &[3, none_at, none_length, 320, 8, 400], NOENT)
        .call("fd_filestat_get", &[1, 320], 0)
        .holds_byte(336, 2)
        .call("fd_filestat_get", &[9, 320], BADF);
    script.assert_works();
}

#[test]
fn what_is_advised_or_synchronised_changes_nothing() {
    let mut script = script();
    script
        .open(3, "hello.txt", 0, 0)
        .call("fd_advise", &[OPENED, 0, 4, 5], 0)
        .call("fd_advise", &[OPENED, 0, 4, 6], INVAL)
        .call("fd_advise", &[3, 0, 4, 0], ISDIR)
        .call("fd_advise", &[0, 0, 4, 0], SPIPE)
        .call("fd_sync", &[OPENED], 0)
        .call("fd_sync", &[3], 0)
        .call("fd_sync", &[1], INVAL)
        .call("fd_datasync", &[9], BADF)
        .call("fd_datasync", &[3], 0)
        .call("fd_fdstat_set_flags", &[OPENED, 4], 0)
        .call("fd_fdstat_get", &[OPENED, 64], 0)
        .holds_byte(66, 4)
        .call("fd_fdstat_set_flags", &[OPENED, 32], INVAL)
        .call("fd_fdstat_set_flags", &[9, 0], BADF);
    script.assert_works();
}

#[test]
fn rights_can_be_given_up_and_not_got() {
    let (read, seek, tell) = (1 << 1, 1 << 2, 1 << 5);
    let mut script = script();
    script
        .open_with(3, "hello.txt", 0, read | seek | tell, 0)
        .call("fd_filestat_get", &[OPENED, 320], NOTCAPABLE)
        .call("fd_fdstat_set_rights", &[OPENED, read | tell, 0], 0)
        .call("fd_seek", &[OPENED, 1, 1, 40], NOTCAPABLE)
        .call("fd_seek", &[OPENED, 0, 1, 40], 0)
        .call("fd_pread", &[OPENED, 16, 0, 0, 8], NOTCAPABLE)
        .call("fd_advise", &[OPENED, 0, 0, 0], NOTCAPABLE)
        .call("fd_fdstat_set_rights", &[OPENED, read | seek, 0], NOTCAPABLE)
        .call("fd_fdstat_get", &[OPENED, 64], 0)
        .holds(72, read | tell)
        .call("fd_fdstat_set_rights", &[OPENED, 0, 0], 0)
        .call("fd_read", &[OPENED, 16, 0, 8], NOTCAPABLE)
        .call("fd_tell", &[OPENED, 40], NOTCAPABLE)
        .call("fd_fdstat_set_flags", &[OPENED, 0], NOTCAPABLE)
        // What is opened below a folder has no more than may be inherited.
        .open_with(3, "data", DIRECTORY, (1 << 13) | (1 << 14) | read, 0)
        .open_with(OPENED + 1, "sub/numbers", 0, read, 0)
        .open_with(OPENED + 1, "sub/numbers", 0, read | seek, NOTCAPABLE)
        .path("path_create_directory", OPENED + 1, "new", NOTCAPABLE)
        .open_with(OPENED + 1, "new", CREAT, read, NOTCAPABLE)
        .call("fd_fdstat_set_rights", &[9, 0, 0], BADF);
    script.assert_works();
}

#[test]
fn sixteen_descriptors_are_all() {
    let mut script = script();
    for number in OPENED..16 {
        script.open(3, "hello.txt", 0, 0).holds(0, number);
    }
    script
        .open(3, "hello.txt", 0, MFILE)
        .call("fd_close", &[9], 0)
        .open(3, "data", 0, 0)
        .holds(0, 9)
        .call("fd_close", &[16], BADF)
        .call("fd_close", &[0xffff_ffff], BADF)
        .call("fd_close", &[3], 0)
        .call("fd_prestat_get", &[3, 64], BADF)
        .open(9, "empty", 0, 0)
        .holds(0, 3);
    script.assert_works();
}

#[test]
fn a_descriptor_moves_to_another_number() {
    let mut script = script();
    script
        .open(3, "hello.txt", 0, 0)
        .open(3, "data/sub/numbers", 0, 0)
        .call("fd_renumber", &[OPENED, OPENED + 1], 0)
        .call("fd_tell", &[OPENED, 40], BADF)
        .vector(1000, 5)
        .call("fd_read", &[OPENED + 1, 16, 1, 8], 0)
        .holds_text(1000, "Hello")
        .call("fd_renumber", &[OPENED + 1, OPENED + 1], 0)
        .call("fd_tell", &[OPENED + 1, 40], 0)
        .holds(40, 5)
        .call("fd_renumber", &[OPENED + 1, OPENED], BADF)
        .call("fd_renumber", &[OPENED, OPENED + 1], BADF)
        .call("fd_renumber", &[OPENED + 1, 99], BADF)
        // Standard output becomes standard error.
        .call("fd_renumber", &[2, 1], 0)
        .call("fd_write", &[1, 16, 1, 8], 0)
        .call("fd_write", &[2, 16, 1, 8], BADF);
    let (node, _) = script.assert_works();
    assert_eq!((node.text(Stream::Stdout).as_str(), node.text(Stream::Stderr).as_str()), ("", "Hello"));
}

#[test]
fn a_folder_is_listed_piece_by_piece() {
    let mut script = script();
    script
        .call("fd_readdir", &[3, 1000, 500, 0, 8], 0)
        // Four entries of 24 bytes, with names of 1, 2, 4 and 9.
        .holds(8, 4 * 24 + 1 + 2 + 4 + 9)
        .holds(1000, 1)
        .holds(1008, 1)
        .holds(1016, 1)
        .holds_byte(1020, 3)
        .holds_text(1024, ".")
        .holds_text(1049, "..")
        .holds(1051, 3)
        .holds(1067, 4)
        .holds_byte(1071, 3)
        .holds_text(1075, "data")
        .holds_byte(1099, 4)
        .holds_text(1103, "hello.txt")
        // From the third on, into a buffer that cuts the fourth off.
        .call("fd_readdir", &[3, 1000, 30, 2, 8], 0)
        .holds(8, 30)
        .holds_text(1024, "data")
        .call("fd_readdir", &[3, 1000, 30, 3, 8], 0)
        .holds_text(1024, "hello.")
        .call("fd_readdir", &[3, 1000, 30, 4, 8], 0)
        .holds(8, 0)
        .call("fd_readdir", &[3, 1000, 30, -1, 8], 0)
        .holds(8, 0)
        .call("fd_readdir", &[3, 1000, 0, 0, 8], 0)
        .holds(8, 0)
        .open(3, "data/sub", 0, 0)
        .call("fd_readdir", &[OPENED, 1000, 500, 2, 8], 0)
        .holds(8, 24 + 7)
        .holds_text(1024, "numbers")
        .open(3, "hello.txt", 0, 0)
        .call("fd_readdir", &[OPENED + 1, 1000, 500, 0, 8], NOTDIR)
        .call("fd_readdir", &[9, 1000, 500, 0, 8], BADF);
    script.assert_works();
}

#[test]
fn a_long_read_is_whole_and_done_in_turns() {
    let content: Vec<u8> = (0..300_000u32).map(|index| (index % 251) as u8).collect();
    let mut script = Script::with_files(&[("long", &content)]);
    script
        .code("(drop (memory.grow (i32.const 5)))")
        .open(3, "long", 0, 0)
        .vector(131_072, 300_001)
        .call("fd_read", &[OPENED, 16, 1, 8], 0)
        .holds(8, 300_000)
        .holds_byte(131_072 + 299_999, (299_999 % 251) as u8)
        .holds_byte(131_072 + 65_536, (65_536 % 251) as u8)
        .call("fd_tell", &[OPENED, 40], 0)
        .holds(40, 300_000);
    let (_, status) = script.assert_works();
    assert!(status.heartbeat > 73, "4 KiB a turn: {}", status.heartbeat);
}

#[test]
fn of_many_pieces_a_call_moves_the_first_and_no_more_than_a_slice_may_look_at() {
    // Pieces of three bytes each, one behind the other; and the same behind forty empty ones.
    let pieces = |at: u32, count: u32, content: u32| -> String {
        (0..count)
            .map(|piece| {
                format!(
                    "(i32.store (i32.const {}) (i32.const {})) (i32.store (i32.const {}) (i32.const 3))",
                    at + 8 * piece,
                    content + 3 * piece,
                    at + 8 * piece + 4,
                )
            })
            .collect()
    };
    let text = "abcdefghijklmnopqrstuvwxyz".repeat(4);
    let mut script = Script::with_files(&[("letters", text.as_bytes())]);
    let [at, _] = script.bytes(text.as_bytes());
    let at = u32::try_from(at).expect("an address");
    script
        .code(&pieces(4096, 30, at))
        .call("fd_write", &[1, 4096, 30, 8], 0)
        .holds(8, 48)
        .code(&pieces(8192 + 8 * 40, 1, at + 48))
        .call("fd_write", &[1, 8192, 41, 8], 0)
        .holds(8, 3)
        .call("fd_write", &[1, 8192, 40, 8], 0)
        .holds(8, 0)
        .open(3, "letters", 0, 0)
        .code(&pieces(4096, 30, 16_384))
        .call("fd_read", &[OPENED, 4096, 30, 8], 0)
        .holds(8, 48)
        .holds_text(16_384, &text[..48])
        .code(&pieces(8192 + 8 * 40, 1, 16_384))
        .call("fd_read", &[OPENED, 8192, 41, 8], 0)
        .holds(8, 3)
        .holds_text(16_384, &text[48..51])
        .call("fd_read", &[OPENED, 8192, 40, 8], 0)
        .holds(8, 0)
        .call("fd_tell", &[OPENED, 40], 0)
        .holds(40, 51);
    let (node, _) = script.assert_works();
    assert_eq!(node.text(Stream::Stdout), text[..51]);
}

#[test]
fn work_that_the_interpreter_does_not_see_is_paid_for() {
    let files: Vec<(String, Vec<u8>)> = (0..64).map(|index| (format!("{index:02}"), vec![7; 12_800])).collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(path, content)| (path.as_str(), content.as_slice())).collect();
    // What the same call costs with much to do costs so much more than with little.
    let fuel = |name: &str, arguments: &[i64]| {
        let mut script = Script::with_files(&files);
        let [at, length] = script.bytes("./".repeat(400).as_bytes());
        assert_eq!((at, length), (65_536, 800));
        script.open(3, "00", 0, 0).vector(32_768, 12_800).call(name, arguments, 0);
        script.assert_works().1.fuel
    };
    for (name, much, little, least) in [
        ("fd_readdir", &[3, 1000, 5000, 0, 8][..], &[3, 1000, 0, 0, 8][..], 64 * 50),
        ("path_filestat_get", &[3, 0, 65_536, 800, 256], &[3, 0, 65_536, 1, 256], 28 * 799),
        ("fd_read", &[OPENED, 16, 1, 8], &[OPENED, 40, 1, 8], 12_800 / 16 - 4),
        ("fd_read", &[OPENED, 4096, 1024, 8], &[OPENED, 4096, 1, 8], 3 * 1023),
        ("fd_write", &[1, 4096, 1024, 8], &[1, 4096, 1, 8], 3 * 1023),
    ] {
        let (much, little) = (fuel(name, much), fuel(name, little));
        assert!(much >= little + least, "{name}: {much} and {little}");
    }
}

#[test]
fn poll_says_how_much_can_be_read_and_written() {
    let mut script = script();
    let subscription = |at: u32, userdata: u32, tag: u32, descriptor: u32| {
        format!(
            "(i64.store (i32.const {at}) (i64.const {userdata})) (i32.store8 (i32.const {}) (i32.const {tag}))
             (i32.store (i32.const {}) (i32.const {descriptor}))",
            at + 8,
            at + 16
        )
    };
    let subscriptions = [(4096, 1, 1, 4), (4144, 2, 2, 1), (4192, 3, 2, 4), (4240, 4, 1, 1)]
        .map(|(at, userdata, tag, descriptor)| subscription(at, userdata, tag, descriptor))
        .concat();
    script
        .open(3, "hello.txt", 0, 0)
        .call("fd_seek", &[OPENED, 7, 0, 40], 0)
        .code(&subscriptions)
        .call("poll_oneoff", &[4096, 8192, 4, 8], 0)
        .holds(8, 4)
        .holds(8192, 1)
        .holds(8208, 5)
        .holds(8224, 2)
        .holds(8240, 16 * OUTPUT_PAYLOAD_BYTES as i64)
        .holds_byte(8264, 76)
        .holds_byte(8296, 76);
    script.assert_works();
}

#[test]
fn there_are_no_sockets_and_no_signals() {
    let mut script = script();
    script
        .call("sock_accept", &[3, 0, 32], NOTSOCK)
        .call("sock_accept", &[9, 0, 32], BADF)
        .call("sock_recv", &[0, 16, 0, 0, 32, 36], NOTSOCK)
        .call("sock_send", &[1, 16, 0, 0, 32], NOTSOCK)
        .call("sock_send", &[99, 16, 0, 0, 32], BADF)
        .call("sock_shutdown", &[1, 1], NOTSOCK)
        .call("sock_shutdown", &[4, 1], BADF)
        .call("proc_raise", &[6], NOSYS);
    script.assert_works();
}

#[test]
fn pointers_outside_the_memory_trap() {
    let far = 0x7fff_0000;
    let mut paths = script();
    let [at, length] = paths.bytes(b"hello.txt");
    let calls: &[(&str, &[i64])] = &[
        ("fd_prestat_get", &[3, far]),
        ("fd_prestat_dir_name", &[3, far, 1]),
        ("fd_filestat_get", &[3, far]),
        ("fd_fdstat_get", &[3, far]),
        ("fd_readdir", &[3, far, 100, 0, 8]),
        ("fd_readdir", &[3, 8, 100, 0, far]),
        ("path_open", &[3, 0, far, 1, 0, 0, 0, 0, 8]),
        ("path_open", &[3, 0, at, length, 0, 0, 0, 0, far]),
        ("path_filestat_get", &[3, 0, far, 1, 8]),
        ("path_filestat_get", &[3, 0, at, length, far]),
        ("path_create_directory", &[3, far, 1]),
        ("path_readlink", &[3, far, 1, 8, 8, 8]),
        ("fd_read", &[OPENED, far, 1, 8]),
        ("fd_read", &[OPENED, 16, 1, far]),
        ("fd_read", &[OPENED, 24, 1, 8]),
        ("fd_pread", &[OPENED, 24, 1, 0, 8]),
        ("fd_seek", &[OPENED, 0, 0, far]),
        ("fd_tell", &[OPENED, far]),
        ("poll_oneoff", &[far, 4096, 1, 8]),
    ];
    for (name, arguments) in calls {
        let mut script = script();
        script.bytes(b"hello.txt");
        script
            .open(3, "hello.txt", 0, 0)
            .vector(1000, 4)
            .code("(i32.store (i32.const 24) (i32.const 1000)) (i32.store (i32.const 28) (i32.const 0x7fffffff))")
            .call(name, arguments, 0);
        let status = node().run(&script.module(), &configuration(&[]));
        assert_failed(&status, FailureReason::Trap, "outside the memory");
    }
}

/// A module with these sections of files in front.
fn with_sections(sections: &[&[u8]]) -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    for section in sections {
        let length = |bytes: usize| u8::try_from(bytes).expect("short");
        let body = [&[length(FILES_SECTION.len())], FILES_SECTION.as_bytes(), section].concat();
        module.extend([&[0, length(body.len())], &body[..]].concat());
    }
    module.extend(&wat(r#"(module (func (export "_start")))"#)[8..]);
    module
}

#[test]
fn damaged_files_fail_the_load() {
    let files = encode_files(&[("a", b"1")]).expect("valid");
    assert_finalised(&node().run(&with_sections(&[&files]), &configuration(&[])), 0);
    let cut = &files[..files.len() - 1];
    let cases: [(&[&[u8]], &str); 3] =
        [(&[cut], "packed files"), (&[&files, &files], "second time"), (&[b""], "packed files")];
    for (sections, word) in cases {
        let status = node().run(&with_sections(sections), &configuration(&[]));
        assert_failed(&status, FailureReason::InvalidModule, word);
    }
}

#[test]
fn files_of_one_container_are_not_the_next_ones() {
    let mut script = script();
    script.open(3, "hello.txt", 0, 0);
    let mut bare = Script::with_files(&[]);
    bare.open(3, "hello.txt", 0, BADF);
    let mut node = node();
    assert_finalised(&node.run(&script.module(), &configuration(&[])), 0);
    assert_finalised(&node.run(&bare.module(), &configuration(&[])), 0);
    assert_finalised(&node.run(&script.module(), &configuration(&[])), 0);
}

/// Numbers that mean something to some function: descriptors, addresses of what is there, sizes, flags, ends of ranges.
fn argument() -> impl Strategy<Value = i64> {
    prop_oneof![
        0..6i64,
        prop::sample::select(vec![16, 64, 1000, 65_530, 65_536, 131_071, 131_072, -1, i64::MAX, i64::MIN]),
        any::<i64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn any_calls_are_survived(
        calls in prop::collection::vec((0..functions().count(), prop::collection::vec(argument(), 9)), 1..12)
    ) {
        let mut script = script();
        script.open(3, "data/sub/numbers", 0, 0).vector(1000, 100);
        script.bytes(b"hello.txt");
        for (index, arguments) in &calls {
            let (name, types) = functions().nth(*index).expect("one of them");
            let arguments: String =
                types.split_whitespace().zip(arguments).map(|(ty, value)| match ty {
                    "i32" => format!("(i32.const {})", *value as i32),
                    _ => format!("(i64.const {value})"),
                }).collect();
            let call = format!("(call ${name} {arguments})");
            script.code(&if name == "proc_exit" { call } else { format!("(drop {call})") });
        }
        let mut node = node();
        node.load(&script.module(), &configuration(&[]), Command::Run);
        // A sleep of any length may be among them.
        node.command_in(1_000_000_000, Command::Stop);
        let ended = state(&node.run_to_end());
        prop_assert!(ended.is_final(), "{ended:?}");
        let mut next = Script::with_files(FILES);
        next.open(3, "hello.txt", 0, 0);
        assert_finalised(&node.run(&next.module(), &configuration(&[])), 0);
    }
}
