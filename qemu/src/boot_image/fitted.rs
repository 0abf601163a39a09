//! The description with the regions that a file fills cut to that file.
//!
//! The sizes in `system.xml` are room; the Microkit tool (2.3.0) wants a file for every page of a region and ends with an
//! index out of range where there is none. Padding the files would do as well, and every start would copy the padding.

use std::fs;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use roxmltree::{Document, Node};

/// Microkit's default page.
const DEFAULT_PAGE_BYTES: u64 = 4096;

/// `description`, fitted to the files in `folder`, and with so many pages that nobody maps.
pub(super) fn system(description: &str, folder: &Path, padding_pages: u64) -> Result<String> {
    let mut text = description.to_owned();
    for (place, size) in sizes(&text, folder)?.into_iter().rev() {
        text.replace_range(place, &format!("{size:#x}"));
    }
    if padding_pages > 0
        && let Some(end) = text.rfind("</system>")
    {
        let bytes = padding_pages * DEFAULT_PAGE_BYTES;
        let padding = format!("    <memory_region name=\"padding\" size=\"{bytes:#x}\" page_size=\"0x1000\" />\n");
        text.insert_str(end, &padding);
    }
    Ok(text)
}

/// Where the size of each filled region stands, in the file's order, and what it should be.
fn sizes(text: &str, folder: &Path) -> Result<Vec<(Range<usize>, u64)>> {
    let document = Document::parse(text)?;
    let regions = document.root_element().children().filter(|node| node.has_tag_name("memory_region"));
    let mut sizes = Vec::new();
    for region in regions {
        let (Some(file), Some(size)) = (region.attribute("prefill_path"), region.attribute_node("size")) else {
            continue;
        };
        let file = folder.join(file);
        let bytes = fs::metadata(&file).with_context(|| format!("cannot read {}", file.display()))?.len();
        sizes.push((size.range_value(), bytes.max(1).next_multiple_of(page_bytes(region)?)));
    }
    Ok(sizes)
}

fn page_bytes(region: Node<'_, '_>) -> Result<u64> {
    let Some(stated) = region.attribute("page_size") else { return Ok(DEFAULT_PAGE_BYTES) };
    let number = match stated.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => stated.parse(),
    };
    let number = number.ok().filter(|&number| number != 0);
    number.with_context(|| format!("page_size=\"{stated}\" is no number of bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filled_regions_are_as_long_as_their_files_need_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let text = "<system>\n    <memory_region name=\"a\" size=\"0x2000\" />\n    <memory_region name=\"b\" \
                    size=\"0x800000\" page_size=\"0x200000\" prefill_path=\"b.bin\" />\n    <memory_region name=\"c\" \
                    size=\"0x10000\" prefill_path=\"c.bin\" />\n</system>\n";
        fs::write(folder.path().join("b.bin"), vec![1; 0x20_0001]).unwrap();
        fs::write(folder.path().join("c.bin"), [1]).unwrap();
        let fitted = system(text, folder.path(), 0).unwrap();
        assert_eq!(fitted, text.replace("0x800000", "0x400000").replace("0x10000", "0x1000"));
    }

    #[test]
    fn padding_is_a_region_more() {
        let folder = tempfile::tempdir().unwrap();
        let padded = system("<system>\n</system>\n", folder.path(), 3).unwrap();
        assert_eq!(
            padded,
            "<system>\n    <memory_region name=\"padding\" size=\"0x3000\" page_size=\"0x1000\" />\n</system>\n"
        );
    }

    #[test]
    fn a_region_without_its_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let text = "<system><memory_region name=\"b\" size=\"0x1000\" prefill_path=\"b.bin\" /></system>";
        let error = system(text, folder.path(), 0).unwrap_err();
        assert!(error.to_string().contains("b.bin"), "{error}");
    }
}
