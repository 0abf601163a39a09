//! One at a time: a folder that several programs may want to write to.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};

/// Waits until nobody else holds `folder`, and holds it until what is returned is dropped, or this process ends.
///
/// # Errors
/// The folder is not there, or its file system knows no locks.
pub(crate) fn hold(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let first = hold(folder.path()).expect("free");
        let path = folder.path().join("lock");
        assert!(File::create(&path).expect("there").try_lock().is_err(), "held");
        drop(first);
        assert!(File::create(&path).expect("there").try_lock().is_ok());
    }
}
