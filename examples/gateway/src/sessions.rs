//! Who sends a request. A real program has its login here; this one believes every name.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// The oldest session ends when there are more.
const MAX_SESSIONS: usize = 1000;

pub const MAX_USER: usize = 60;

pub struct Session {
    /// Comes from here and never from a form: a ticket is bound to it.
    pub user: String,
    /// Is in every form of this person's pages. No other site can read it, so none can send the form.
    pub csrf_token: String,
}

impl Session {
    /// Compares in constant time, so that the time tells nothing of the token.
    pub fn is_csrf_token(&self, token: &str) -> bool {
        let pairs = self.csrf_token.bytes().zip(token.bytes());
        let difference = pairs.fold(0, |all, (own, other)| all | (own ^ other));
        self.csrf_token.len() == token.len() && difference == 0
    }
}

#[derive(Default)]
pub struct Sessions(Mutex<VecDeque<(String, Arc<Session>)>>);

impl Sessions {
    /// Begins a session, and returns the value of its cookie.
    pub fn begin(&self, user: &str) -> std::io::Result<String> {
        let cookie = random_text()?;
        let session = Session {
            user: user.to_owned(),
            csrf_token: random_text()?,
        };
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() == MAX_SESSIONS {
            sessions.pop_front();
        }
        sessions.push_back((cookie.clone(), Arc::new(session)));
        Ok(cookie)
    }

    pub fn find(&self, cookie: &str) -> Option<Arc<Session>> {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = sessions.iter().find(|(known, _)| known == cookie)?;
        Some(Arc::clone(&found.1))
    }
}

/// 32 random hexadecimal digits, which cannot be guessed.
pub fn random_text() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
