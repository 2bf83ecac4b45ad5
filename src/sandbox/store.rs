//! The sandbox's SQLite database, on a thread of its own: jobs go in, results come out, no runtime thread waits for
//! a disk. One connection does everything in turn, so a job that checks and writes in one transaction loses nothing.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use tokio::sync::oneshot;
use uuid::Uuid;

/// Where the records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In memory, gone when the sandbox stops.
    Memory,
    /// In this file (and its `-wal` beside it); created, with its folder, if missing. Survives a restart.
    File(PathBuf),
}

/// Why the database could not be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused: the file is no database, not writable, or the disk is full.
    #[error("the sandbox's database failed: {0}")]
    Database(#[from] rusqlite::Error),
    /// The folder of the file or the database's thread could not be made.
    #[error("the sandbox's database cannot be set up: {0}")]
    Setup(#[from] std::io::Error),
    /// The file was written by a newer toolbridge.
    #[error("the sandbox's file has layout {found}, this version knows {LAYOUT}: use another file")]
    Layout {
        /// The layout number found in the file.
        found: i64,
    },
    /// The sandbox has been stopped.
    #[error("the sandbox's database is closed")]
    Closed,
}

/// The backend's internal user row; records, sessions, epochs and rate buckets hang on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    pub(super) row: i64,
    /// What the wire shows as `userId`.
    pub(super) uid: Uuid,
}

/// What `GET /v1/sync/state` tells.
pub(super) struct UserState {
    pub(super) epoch: i64,
    pub(super) wiped_at_ms: Option<i64>,
}

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

enum Message {
    Run(Job),
    Close(oneshot::Sender<()>),
}

/// A handle on the database's thread; the thread ends with [`Store::close`] or with its last handle.
#[derive(Clone)]
pub(super) struct Store {
    messages: mpsc::Sender<Message>,
    /// Users are never deleted, so a known one stays known.
    owners: Arc<Mutex<HashMap<String, Owner>>>,
}

const LAYOUT: i64 = 1;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS user (
    id INTEGER PRIMARY KEY, uid TEXT NOT NULL, subject TEXT NOT NULL UNIQUE,
    epoch INTEGER NOT NULL DEFAULT 1, wiped_at_ms INTEGER
);
CREATE TABLE IF NOT EXISTS record (
    owner INTEGER NOT NULL REFERENCES user (id), entity TEXT NOT NULL, uid TEXT NOT NULL,
    version INTEGER NOT NULL, updated_at_ms INTEGER NOT NULL, deleted_at_ms INTEGER, payload TEXT NOT NULL,
    PRIMARY KEY (owner, entity, uid)
);
CREATE INDEX IF NOT EXISTS record_by_time ON record (owner, entity, updated_at_ms, uid);
PRAGMA user_version = 1;
";

impl Store {
    /// Opens the database and its thread.
    pub(super) async fn open(storage: Storage) -> Result<Self, StoreError> {
        let (messages, inbox) = mpsc::channel();
        let (ready, opened) = oneshot::channel();
        std::thread::Builder::new()
            .name("sandbox-store".to_owned())
            .spawn(move || match connect(storage) {
                Ok(connection) => {
                    if ready.send(Ok(())).is_ok() {
                        work(connection, &inbox);
                    }
                }
                Err(error) => {
                    // Nobody waits any more: there is nobody to tell.
                    let _ = ready.send(Err(error));
                }
            })?;
        opened.await.map_err(|_| StoreError::Closed)??;
        Ok(Self {
            messages,
            owners: Arc::default(),
        })
    }

    /// Runs a job in its turn; it is finished even if the caller goes away.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // The caller may have hung up; the work is done all the same.
            let _ = answer.send(job(connection));
        });
        self.messages
            .send(Message::Run(job))
            .map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Finishes what is queued and closes the file.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.messages.send(Message::Close(done)).is_ok() {
            // An error means that the thread ended already, which is what is wanted.
            let _ = closed.await;
        }
    }

    /// The user with this subject, created on first sight.
    pub(super) async fn owner(&self, subject: &str) -> Result<Owner, StoreError> {
        let owners = || self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        let known = owners().get(subject).copied();
        if let Some(owner) = known {
            return Ok(owner);
        }
        let name = subject.to_owned();
        let found = self
            .run(move |connection| Ok(owner(connection, &name)?))
            .await?;
        owners().insert(subject.to_owned(), found);
        Ok(found)
    }

    /// Whether the user has no record at all.
    pub(super) async fn is_empty(&self, owner: Owner) -> Result<bool, StoreError> {
        self.run(move |connection| {
            Ok(connection.query_row(
                "SELECT NOT EXISTS (SELECT 1 FROM record WHERE owner = ?1)",
                [owner.row],
                |row| row.get(0),
            )?)
        })
        .await
    }

    /// The user's epoch.
    pub(super) async fn epoch(&self, owner: Owner) -> Result<i64, StoreError> {
        self.state(owner).await.map(|state| state.epoch)
    }

    /// The user's epoch and last wipe.
    pub(super) async fn state(&self, owner: Owner) -> Result<UserState, StoreError> {
        self.run(move |connection| {
            let mut query =
                connection.prepare("SELECT epoch, wiped_at_ms FROM user WHERE id = ?1")?;
            Ok(query.query_row([owner.row], |row| {
                Ok(UserState {
                    epoch: row.get(0)?,
                    wiped_at_ms: row.get(1)?,
                })
            })?)
        })
        .await
    }

    /// Raises the user's epoch by one without deleting anything (a fault).
    pub(super) async fn bump_epoch(&self, owner: Owner) -> Result<(), StoreError> {
        self.run(move |connection| {
            connection.execute(
                "UPDATE user SET epoch = epoch + 1 WHERE id = ?1",
                [owner.row],
            )?;
            Ok(())
        })
        .await
    }

    /// Deletes every record of the user, tombstones too, and raises the epoch: the new epoch and the number of
    /// records per entity.
    pub(super) async fn wipe(
        &self,
        owner: Owner,
        now_ms: i64,
    ) -> Result<(i64, Vec<(String, i64)>), StoreError> {
        self.run(move |connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let deleted = transaction
                .prepare("SELECT entity, count(*) FROM record WHERE owner = ?1 GROUP BY entity")?
                .query_map([owner.row], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<Vec<_>, _>>()?;
            transaction.execute("DELETE FROM record WHERE owner = ?1", [owner.row])?;
            let epoch = transaction.query_row(
                "UPDATE user SET epoch = epoch + 1, wiped_at_ms = ?2 WHERE id = ?1 RETURNING epoch",
                params![owner.row, now_ms],
                |row| row.get(0),
            )?;
            transaction.commit()?;
            Ok((epoch, deleted))
        })
        .await
    }
}

fn work(mut connection: Connection, inbox: &mpsc::Receiver<Message>) {
    while let Ok(message) = inbox.recv() {
        match message {
            Message::Run(job) => job(&mut connection),
            Message::Close(done) => {
                drop(connection);
                // Whoever closed may have stopped waiting.
                let _ = done.send(());
                return;
            }
        }
    }
}

fn connect(storage: Storage) -> Result<Connection, StoreError> {
    let connection = match storage {
        Storage::Memory => Connection::open_in_memory()?,
        Storage::File(path) => {
            if let Some(folder) = path.parent().filter(|path| !path.as_os_str().is_empty()) {
                std::fs::create_dir_all(folder)?;
            }
            let connection = Connection::open(path)?;
            connection.busy_timeout(Duration::from_secs(5))?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            // In WAL mode this survives a crash of the process; only a power cut can lose the last writes.
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection
        }
    };
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match found {
        0 => connection.execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} COMMIT;"))?,
        LAYOUT => {}
        found => return Err(StoreError::Layout { found }),
    }
    Ok(connection)
}

fn owner(connection: &Connection, subject: &str) -> rusqlite::Result<Owner> {
    let find = |connection: &Connection| {
        connection
            .query_row(
                "SELECT id, uid FROM user WHERE subject = ?1",
                [subject],
                |row| Ok((row.get(0)?, row.get::<_, String>(1)?)),
            )
            .optional()
    };
    let (row, uid) = match find(connection)? {
        Some(found) => found,
        None => connection.query_row(
            // The update makes RETURNING answer where another process has just created the user.
            "INSERT INTO user (uid, subject) VALUES (?1, ?2)
             ON CONFLICT (subject) DO UPDATE SET subject = subject RETURNING id, uid",
            params![Uuid::new_v4().to_string(), subject],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?,
    };
    Ok(Owner {
        row,
        uid: Uuid::try_parse(&uid).unwrap_or_default(),
    })
}
