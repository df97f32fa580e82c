//! Limits the open consoles.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Open consoles. People open them by hand, so more are a mistake or an attack. Each one holds a connection, an exec of the
/// engine, and processes in an instance.
pub(crate) const MAX_CONSOLES: usize = 32;
/// Open consoles of one created token, so that it leaves some to others.
const MAX_PER_TOKEN: usize = 8;

/// The open consoles.
pub(crate) struct OpenConsoles {
    all: Arc<Semaphore>,
    /// The id of the created token of each one.
    tokens: Arc<Mutex<Vec<String>>>,
}

/// Counts as an open console until it is dropped.
pub(crate) struct ConsolePermit {
    _permit: OwnedSemaphorePermit,
    token: Option<String>,
    tokens: Arc<Mutex<Vec<String>>>,
}

impl Default for OpenConsoles {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(MAX_CONSOLES)), tokens: Arc::default() }
    }
}

impl OpenConsoles {
    /// Errors: the limit is reached. For people. `token`: the id of a created token; `None`: the admin token.
    pub fn check(&self, token: Option<&str>) -> Result<(), String> {
        if self.all.available_permits() == 0 {
            return Err(too_many());
        }
        check_token(&lock(&self.tokens), token)
    }

    /// A permit without a token. Errors: the limit is reached.
    pub fn open(&self) -> Result<ConsolePermit, String> {
        let permit = self.all.clone().try_acquire_owned().map_err(|_| too_many())?;
        Ok(ConsolePermit { _permit: permit, token: None, tokens: self.tokens.clone() })
    }

    /// Waits until no console is open.
    pub async fn all_closed(&self) {
        let _all = self.all.acquire_many(MAX_CONSOLES as u32).await;
    }
}

impl ConsolePermit {
    /// Counts the console for this token too. Errors: the limit is reached.
    pub fn of(mut self, token: Option<&str>) -> Result<Self, String> {
        let tokens = self.tokens.clone();
        let mut tokens = lock(&tokens);
        check_token(&tokens, token)?;
        tokens.extend(token.map(str::to_owned));
        self.token = token.map(str::to_owned);
        Ok(self)
    }
}

impl Drop for ConsolePermit {
    fn drop(&mut self) {
        let Some(token) = &self.token else { return };
        let mut tokens = lock(&self.tokens);
        if let Some(found) = tokens.iter().position(|it| it == token) {
            tokens.swap_remove(found);
        }
    }
}

/// The error at the limit of open consoles.
fn too_many() -> String {
    format!("{MAX_CONSOLES} consoles are open, which is the limit. Close one of them first")
}

fn check_token(tokens: &[String], token: Option<&str>) -> Result<(), String> {
    match tokens.iter().filter(|it| Some(it.as_str()) == token).count() < MAX_PER_TOKEN {
        true => Ok(()),
        false => {
            Err(format!("{MAX_PER_TOKEN} consoles of this token are open, which is the limit. Close one of them first"))
        }
    }
}

fn lock(tokens: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    tokens.lock().expect("no code panics while it holds this lock")
}
