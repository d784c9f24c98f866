//! A worker as a process of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Bank;

/// Longer than anything here takes, and shorter than patience.
pub(crate) const LONG: Duration = Duration::from_secs(90);

/// It ends with whoever started it.
pub(crate) struct Worker {
    pub(crate) child: Child,
    address: String,
    said: Arc<Mutex<Vec<String>>>,
}

impl Worker {
    pub(crate) fn start(bank: &Bank, names: &[&str]) -> Self {
        let mut command = bank.command(&["work", "--health", "127.0.0.1:0", "--lag", "0"]);
        let mut child = command.args(names).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = Arc::new(Mutex::new(Vec::new()));
        let mut address = None;
        for line in lines.by_ref() {
            let line = line.unwrap();
            address = line.strip_prefix("health at http://").and_then(|rest| rest.split('/').next()).map(str::to_owned);
            said.lock().unwrap().push(line);
            if address.is_some() {
                break;
            }
        }
        let all = said.clone();
        std::thread::spawn(move || lines.for_each(|line| all.lock().unwrap().push(line.unwrap_or_default())));
        let address = address.unwrap_or_else(|| panic!("it does not work: {:?}", said.lock().unwrap()));
        Self { child, address, said }
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success(), "{signal} was not sent");
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// It looks now and then whether there is something to say.
    pub(crate) fn until_it_says(&self, words: &str) {
        let begun = Instant::now();
        while !self.said.lock().unwrap().iter().any(|line| line.contains(words)) {
            assert!(begun.elapsed() < LONG, "{words:?} was not said: {:?}", self.said.lock().unwrap());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it, and says what it said.
    pub(crate) fn end(mut self) -> String {
        self.signal("-TERM");
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(begun.elapsed() < LONG, "it does not end: {:?}", self.said.lock().unwrap()),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let said = self.said.lock().unwrap().join("\n");
        assert!(status.success(), "{status}: {said}");
        said
    }

    /// The status and the body of what it answers.
    pub(crate) fn ask(&self, path: &str) -> (u32, Value) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer:?}")))
    }

    /// Asks until it is ready, and it is as it is wanted.
    pub(crate) fn until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let (status, body) = self.ask("/ready");
            if status == 200 && wanted(&body) {
                return body;
            }
            assert!(begun.elapsed() < LONG, "it does not come: {status} {body}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // One that a failed test leaves behind, stopped perhaps.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
pub(crate) fn verified(bank: &Bank) {
    for name in ["balances", "monthly-turnover"] {
        let verified = bank.run(&["verify", name, "--json"]);
        assert_eq!(verified.code, Some(0), "{name}: {verified:?}");
    }
}

pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
