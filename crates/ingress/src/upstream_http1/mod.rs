//! HTTP/1.1 to instances: requests are written, answers are read, and both go on at once.
//!
//! The ingress speaks this protocol itself instead of through a library, because the headers of a request then go from
//! the client's map into the bytes for the instance in one pass, and because the caller must know whether a byte was
//! written or read: this decides what may be sent again. What hyper refuses in an answer is refused here, too, and a
//! test compares the two (`differential`).
//!
//! In reading order:
//! - `connection`: the socket of an instance;
//! - `request`: the head of a request, and its body on the way to the instance;
//! - `answer_head`, `answer_body`, `chunks`: what the bytes of an answer mean, without I/O;
//! - `exchange`: one request and its answer on a connection.

mod answer_body;
mod answer_head;
mod chunks;
mod connection;
#[cfg(test)]
mod differential;
mod exchange;
mod request;

pub(crate) use answer_head::{AnswerHead, HeadRules};
pub(crate) use connection::{Connection, UpgradedConnection};
pub(crate) use exchange::{Answer, AnswerBody, AnswerError, SendError, SendErrorCause, exchange};
pub(crate) use request::{RequestHead, Upload};
