//! Folders whose file systems cannot sync folders.

/// Folders of this machine in which the names of new files are not durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsynced {
    /// Folder of the dataset: the newest files may be missing after a power loss.
    pub dataset: Option<String>,
    /// State directory: a power loss costs requests, and no record.
    pub state_dir: Option<String>,
}
