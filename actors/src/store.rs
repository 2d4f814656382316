//! What plugins keep: a directory each, and a small store of keys and values each.
//!
//! ```text
//! DATA/plugins/ID/      the plugin's own files, made at first use
//! DATA/store/ID.json    its keys and values, replaced whole by a rename
//! ```
//!
//! A store is read once and then stands in memory. A file that makes no sense is moved aside, never written over. It is
//! not for readings: every change writes all of it.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sedge_plugin::{Id, PluginError};
use serde_json::Value as Json;
use tokio::sync::Mutex;
use tracing::error;

/// Bytes of one value.
const MOST_PER_VALUE: usize = 64 * 1024;
/// Bytes of one store.
const MOST: usize = 1024 * 1024;

type Content = BTreeMap<String, Json>;

/// The stores and directories of a node's plugins.
#[derive(Default)]
pub(crate) struct Stores {
    root: Option<PathBuf>,
    open: Mutex<HashMap<Id, Arc<Mutex<Option<Content>>>>>,
}

impl Stores {
    pub(crate) fn new(root: Option<PathBuf>) -> Self {
        Self { root, open: Mutex::default() }
    }

    /// The plugin's own directory.
    pub(crate) fn directory(&self, plugin: &Id) -> Result<PathBuf, PluginError> {
        let directory = self.root()?.join("plugins").join(plugin.as_str());
        match fs::create_dir_all(&directory) {
            Ok(()) => Ok(directory),
            Err(error) => Err(PluginError::failed(format!("cannot make {}: {error}", directory.display()))),
        }
    }

    /// What is kept under a key. Nothing is kept where there is no place for it.
    pub(crate) async fn load(&self, plugin: &Id, key: &str) -> Result<Option<Json>, PluginError> {
        if self.root.is_none() {
            return Ok(None);
        }
        let store = self.store_of(plugin).await;
        let mut content = store.lock().await;
        Ok(self.opened(plugin, &mut content).await?.get(key).cloned())
    }

    /// Keeps a value, or (none) forgets the key. It is on disk when this returns well.
    pub(crate) async fn store(&self, plugin: &Id, key: &str, value: Option<Json>) -> Result<(), PluginError> {
        let store = self.store_of(plugin).await;
        let mut content = store.lock().await;
        let mut next = self.opened(plugin, &mut content).await?.clone();
        match value {
            Some(value) if next.get(key) == Some(&value) => return Ok(()),
            Some(value) => {
                let bytes = value.to_string().len();
                if bytes > MOST_PER_VALUE {
                    return Err(PluginError::failed(format!(
                        "`{key}` has {bytes} bytes; a value has {MOST_PER_VALUE} at most"
                    )));
                }
                next.insert(key.into(), value);
            }
            None if next.remove(key).is_none() => return Ok(()),
            None => {}
        }
        let bytes = serde_json::to_vec(&next).map_err(|e| PluginError::failed(e.to_string()))?;
        if bytes.len() > MOST {
            return Err(PluginError::failed(format!("a plugin's store has {MOST} bytes at most")));
        }
        let file = self.file(plugin)?;
        let shown = file.display().to_string();
        blocking(move || replace(&file, &bytes))
            .await
            .map_err(|error| PluginError::failed(format!("cannot write {shown}: {error}")))?;
        *content = Some(next);
        Ok(())
    }

    async fn store_of(&self, plugin: &Id) -> Arc<Mutex<Option<Content>>> {
        self.open.lock().await.entry(plugin.clone()).or_default().clone()
    }

    async fn opened<'c>(
        &self,
        plugin: &Id,
        content: &'c mut Option<Content>,
    ) -> Result<&'c Content, PluginError> {
        if content.is_none() {
            let file = self.file(plugin)?;
            let shown = file.display().to_string();
            let read = blocking(move || read(&file)).await;
            *content = Some(read.map_err(|e| PluginError::failed(format!("cannot read {shown}: {e}")))?);
        }
        Ok(content.get_or_insert_default())
    }

    fn file(&self, plugin: &Id) -> Result<PathBuf, PluginError> {
        Ok(self.root()?.join("store").join(format!("{plugin}.json")))
    }

    fn root(&self) -> Result<&Path, PluginError> {
        self.root
            .as_deref()
            .ok_or_else(|| PluginError::unmet("the node has no place for data: set `data` in `[node]`"))
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn read(file: &Path) -> io::Result<Content> {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::new()),
        Err(error) => return Err(error),
    };
    serde_json::from_slice(&bytes).or_else(|error| {
        let aside = file.with_extension("damaged");
        error!(file = %file.display(), aside = %aside.display(), %error, "A plugin's store makes no sense; it was moved aside.");
        fs::rename(file, aside).map(|()| Content::new())
    })
}

/// A power cut leaves the old file or the new one.
fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let new = file.with_extension("new");
    let mut out = fs::File::create(&new)?;
    out.write_all(bytes)?;
    out.sync_all()?;
    fs::rename(&new, file)?;
    fs::File::open(directory)?.sync_all()
}
