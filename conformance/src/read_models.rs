//! What the port to read models promises.
